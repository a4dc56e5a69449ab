/*
 * See command_line.h. Options may stand before and behind the verb, but not
 * behind `--`.
 */
#include "proxy/ctl/command_line.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "proxy/admin/control_protocol.h"

#define OPTION_JSON 256
#define OPTION_RULES 257
#define OPTION_AGAINST 258

struct option_row {
	int id; /* a letter, or more than 255: long only */
	const char *name;
	const char *argument; /* NULL: none */
	const char *help;
};

/* clang-format off */
static const struct option_row rows[] = {
	{'s', "socket", "PATH",
	 "tarryd's control socket; without it " CONTROL_SOCKET_PATH},
	{'c', "config", "FILE",
	 "of signature: the configuration whose rules are tried; without it\n"
	 "the built-in one"},
	{OPTION_RULES, "rules", "FILE",
	 "the same, of simulate and replay"},
	{OPTION_AGAINST, "against", "FILE",
	 "of replay: the configuration that --rules is compared with"},
	{OPTION_JSON, "json", NULL,
	 "print the answer as lines of JSON"},
	{'V', "version", NULL, "print the version"},
	{'h', "help", NULL, "print this; behind a verb, more about it"},
};
/* clang-format on */

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void
make_tables(char shorts[2 * ROWS + 2], struct option longs[ROWS + 1])
{
	size_t n = 0;

	shorts[n++] = ':'; /* a missing argument is told from a bad option */
	for (size_t i = 0; i < ROWS; i++) {
		longs[i] = (struct option){
		    .name = rows[i].name,
		    .has_arg = rows[i].argument != NULL ? required_argument
							: no_argument,
		    .val = rows[i].id,
		};
		if (rows[i].id > 255)
			continue;
		shorts[n++] = (char)rows[i].id;
		if (rows[i].argument != NULL)
			shorts[n++] = ':';
	}
	shorts[n] = '\0';
	longs[ROWS] = (struct option){0};
}

__attribute__((format(printf, 2, 3))) static enum command_line_result
wrong(struct command_line *out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(out->error, sizeof(out->error), format, args);
	va_end(args);
	return COMMAND_LINE_WRONG;
}

/* The verb and what stands behind it. */
static enum command_line_result
take_verb(struct command_line *out, int argc, char **argv)
{
	const struct verb *verb;

	if (argc == 0)
		return wrong(out, "a verb is missing");
	verb = verb_find(argv[0]);
	if (verb == NULL)
		return wrong(out, "there is no verb \"%.40s\"", argv[0]);
	out->verb = verb;
	out->argc = argc - 1;
	out->argv = argv + 1;
	if (out->argc < verb->least)
		return wrong(out, "%s needs %s", verb->name, verb->arguments);
	if (out->argc > verb->most)
		return wrong(out, "\"%.40s\" is one argument too many",
			     argv[verb->most + 1]);
	return COMMAND_LINE_RUN;
}

static enum command_line_result
take_help(struct command_line *out, int argc, char **argv)
{
	out->verb = argc > 0 ? verb_find(argv[0]) : NULL;
	return COMMAND_LINE_HELP;
}

enum command_line_result
command_line_read(struct command_line *out, int argc, char **argv)
{
	char shorts[2 * ROWS + 2];
	struct option longs[ROWS + 1];
	bool wants_help = false;
	int id;

	*out = (struct command_line){.ctl.socket = CONTROL_SOCKET_PATH};
	make_tables(shorts, longs);
	optind = 0; /* glibc: begin anew */
	while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (id == 's')
			out->ctl.socket = optarg;
		else if (id == 'c' || id == OPTION_RULES)
			out->ctl.config = optarg;
		else if (id == OPTION_AGAINST)
			out->ctl.against = optarg;
		else if (id == OPTION_JSON)
			out->ctl.is_json = true;
		else if (id == 'V')
			return COMMAND_LINE_VERSION;
		else if (id == 'h')
			wants_help = true;
		else if (id == ':')
			return wrong(out, "%s needs a value", argv[optind - 1]);
		else
			return wrong(out, "there is no option %.40s",
				     argv[optind - 1]);
	}
	if (wants_help)
		return take_help(out, argc - optind, argv + optind);
	return take_verb(out, argc - optind, argv + optind);
}

static void
print_indented(const char *lines, FILE *out)
{
	while (*lines != '\0') {
		size_t len = strcspn(lines, "\n");

		fprintf(out, "        %.*s\n", (int)len, lines);
		lines += len + (lines[len] == '\n');
	}
}

static void
print_verb(const struct verb *verb, FILE *out)
{
	fprintf(out, "  %s%s%s\n", verb->name,
		verb->arguments[0] != '\0' ? " " : "", verb->arguments);
	print_indented(verb->help, out);
}

static void
print_option(const struct option_row *row, FILE *out)
{
	bool has_letter = row->id < 256;

	fprintf(out, "  %c%c%s --%s%s%s\n", has_letter ? '-' : ' ',
		has_letter ? (char)row->id : ' ', has_letter ? "," : " ",
		row->name, row->argument != NULL ? " " : "",
		row->argument != NULL ? row->argument : "");
	print_indented(row->help, out);
}

void
command_line_help(const struct verb *verb, FILE *out)
{
	if (verb != NULL) {
		fputs("usage: tarryctl [-s PATH] [--json]\n", out);
		print_verb(verb, out);
		return;
	}
	fputs("usage: tarryctl [-s PATH] [--json] VERB [ARGUMENT ..]\n\n"
	      "Asks and tells a running tarryd.\n\n",
	      out);
	for (size_t i = 0; i < verbs_count; i++)
		print_verb(&verbs[i], out);
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < ROWS; i++)
		print_option(&rows[i], out);
	fputs("\nExit: 0 fine, 1 refused or an error was found, 2 command "
	      "line, 3 no more than\n"
	      "warnings were found, 75 tarryd cannot be reached.\n\n"
	      "Begin with `tarryctl status`.\n",
	      out);
}
