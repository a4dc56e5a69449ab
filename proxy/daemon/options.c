/*
 * See options.h. One table feeds getopt, the help and the parser; docs/
 * tarryd.8 is checked against the help by a test.
 */
#include "proxy/daemon/options.h"

#include <getopt.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

enum option_id {
	OPTION_CONFIG = 'c',
	OPTION_HELP = 'h',
	OPTION_LISTEN = 'l',
	OPTION_PRINT = 'T',
	OPTION_CHECK = 't',
	OPTION_USER = 'u',
	OPTION_VERSION = 'V',
	OPTION_CLIENT_ADDRESS = 256,
	OPTION_OPEN_RELAY_CHECKED
};

struct option_row {
	enum option_id id;
	const char *name;     /* long */
	const char *argument; /* NULL: none */
	const char *help;
};

/* clang-format off */
static const struct option_row rows[] = {
	{OPTION_CONFIG, "config", "FILE",
	 "read this configuration file; without it the shipped one, which is\n"
	 "compiled in"},
	{OPTION_LISTEN, "listen", "ADDR MTA",
	 "listen on ADDR and relay to MTA, both address:port, whatever the\n"
	 "file says"},
	{OPTION_CLIENT_ADDRESS, "client-address", "HOW",
	 "how the MTA learns the client's address: proxy_v2, proxy_v1,\n"
	 "transparent, none"},
	{OPTION_OPEN_RELAY_CHECKED, "open-relay-checked", NULL,
	 "you have checked that the MTA does not relay for Tarry's own\n"
	 "address; `none` above needs it"},
	{OPTION_CHECK, "check", NULL,
	 "check the configuration, say every mistake, exit 0 or 1"},
	{OPTION_PRINT, "print", NULL,
	 "print every value and where it came from"},
	{OPTION_USER, "user", "USER",
	 "run as this user when started by root (default: tarry, else nobody)"},
	{OPTION_VERSION, "version", NULL, "print version and libraries"},
	{OPTION_HELP, "help", NULL, "print this"},
};
/* clang-format on */

#define ROWS (sizeof rows / sizeof rows[0])

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
		    .val = (int)rows[i].id,
		};
		if ((int)rows[i].id > 255)
			continue;
		shorts[n++] = (char)rows[i].id;
		if (rows[i].argument != NULL)
			shorts[n++] = ':';
	}
	shorts[n] = '\0';
	longs[ROWS] = (struct option){0};
}

static void
take(struct options *o, enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_CONFIG:
		o->config_path = value;
		break;
	case OPTION_LISTEN:
		o->overrides.listen = value;
		break;
	case OPTION_CLIENT_ADDRESS:
		o->overrides.client_address = value;
		break;
	case OPTION_OPEN_RELAY_CHECKED:
		o->overrides.open_relay_checked = "yes";
		break;
	case OPTION_CHECK:
		o->action = OPTIONS_CHECK;
		break;
	case OPTION_PRINT:
		o->action = OPTIONS_PRINT;
		break;
	case OPTION_USER:
		o->user = value;
		break;
	case OPTION_VERSION:
		o->action = OPTIONS_VERSION;
		break;
	case OPTION_HELP:
		o->action = OPTIONS_HELP;
		break;
	}
}

/* The operand is the MTA, and belongs to -l. */
static bool
take_operands(struct options *o, int argc, char **argv, char *error, size_t cap)
{
	int count = argc - optind;

	if (o->overrides.listen != NULL && count == 0) {
		snprintf(error, cap,
			 "-l needs two addresses: where to listen and the "
			 "MTA, as in -l 0.0.0.0:25 127.0.0.1:2525");
		return false;
	}
	if (o->overrides.listen == NULL ? count > 0 : count > 1) {
		snprintf(error, cap, "\"%s\" is one argument too many",
			 argv[argc - 1]);
		return false;
	}
	if (count == 1)
		o->overrides.mta = argv[optind];
	return true;
}

bool
options_parse(struct options *out, int argc, char **argv, char *error,
	      size_t cap)
{
	char shorts[2 * ROWS + 2];
	struct option longs[ROWS + 1];
	int id;

	make_tables(shorts, longs);
	*out = (struct options){.action = OPTIONS_RUN};
	optind = 0; /* glibc: begin anew */
	while ((id = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (id == ':') {
			snprintf(error, cap, "%s needs a value",
				 argv[optind - 1]);
			return false;
		}
		if (id == '?') {
			snprintf(error, cap, "there is no option %s",
				 argv[optind - 1]);
			return false;
		}
		take(out, (enum option_id)id, optarg);
	}
	return take_operands(out, argc, argv, error, cap);
}

static void
print_row(const struct option_row *row, FILE *out)
{
	char left[64];
	const char *help = row->help;

	snprintf(left, sizeof left, "%c%c%s --%s%s%s",
		 (int)row->id < 256 ? '-' : ' ',
		 (int)row->id < 256 ? (char)row->id : ' ',
		 (int)row->id < 256 ? "," : " ", row->name,
		 row->argument != NULL ? " " : "",
		 row->argument != NULL ? row->argument : "");
	fprintf(out, "  %s\n", left);
	while (*help != '\0') {
		size_t len = strcspn(help, "\n");

		fprintf(out, "        %.*s\n", (int)len, help);
		help += len + (help[len] == '\n');
	}
}

void
options_print_help(FILE *out)
{
	fputs("usage: tarryd [-c FILE] [-l ADDR MTA] [-t | -T] [-u USER]\n"
	      "       tarryd -V | --help\n\n"
	      "Tarry slows senders of mail down by what their connection "
	      "looks like.\n\n",
	      out);
	for (size_t i = 0; i < ROWS; i++)
		print_row(&rows[i], out);
	fputs("\nSignals: TERM and INT let sessions end and exit, a second one "
	      "exits now;\n"
	      "HUP reads the configuration again.\n"
	      "Exit: 0 fine, 1 configuration, 2 command line, 75 try again "
	      "later.\n",
	      out);
}

void
options_print_version(FILE *out)
{
	fprintf(out, "tarryd %s\nlibuv %s\nlibmicrohttpd %s\ncompiler %s\n",
		TARRY_VERSION, uv_version_string(), MHD_get_version(),
		__VERSION__);
}

const char *
options_build_labels(void)
{
	static char labels[160];

	if (labels[0] == '\0')
		snprintf(labels, sizeof labels,
			 "version=\"%s\",libuv=\"%s\",libmicrohttpd=\"%s\"",
			 TARRY_VERSION, uv_version_string(), MHD_get_version());
	return labels;
}
