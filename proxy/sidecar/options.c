/* The command line: one row an option, for reading and for --help. */
#include "proxy/sidecar/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/sidecar/say.h"

static bool
read_number(const char *text, const char **end, unsigned long max,
	    unsigned long *out)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoul(text, &stop, 10);
	*end = stop;
	return errno == 0 && *out >= 1 && *out <= max;
}

static const char *
read_ports(struct sidecar_options *options, const char *text)
{
	size_t count = 0;
	unsigned long port;

	memset(options->ports, 0, sizeof(options->ports));
	for (;; text++) {
		if (!read_number(text, &text, UINT16_MAX, &port))
			return "a port is a number from 1 to 65535, as in "
			       "`-p 25,587`";
		if (count == SYN_TABLE_PORTS_CAP)
			return "no more than 16 ports can be watched";
		options->ports[count++] = (uint16_t)port;
		if (*text == '\0')
			return NULL;
		if (*text != ',')
			return "ports are separated by commas, as in "
			       "`-p 25,587`";
	}
}

static const char *
read_interface(struct sidecar_options *options, const char *text)
{
	options->interface = text;
	return *text == '\0' ? "an interface has a name; `ip link` lists them"
			     : NULL;
}

static const char *
read_file(struct sidecar_options *options, const char *text)
{
	options->file = text;
	return *text == '\0' ? "a capture file has a name" : NULL;
}

static const char *
read_socket(struct sidecar_options *options, const char *text)
{
	options->socket = text;
	return *text == '\0' ? "the socket needs a path" : NULL;
}

static const char *
read_user(struct sidecar_options *options, const char *text)
{
	options->user = text;
	return *text == '\0' ? "a user has a name" : NULL;
}

static const char *
read_entries(struct sidecar_options *options, const char *text)
{
	unsigned long count;

	if (!read_number(text, &text, SYN_TABLE_ENTRIES_MAX, &count) ||
	    *text != '\0')
		return "the number of entries is from 1 to 16777216";
	options->entries_count = (uint32_t)count;
	return NULL;
}

/* Reads one value; returns NULL, or what was expected instead. */
typedef const char *read_fn(struct sidecar_options *options, const char *text);

static const struct row {
	char letter;
	const char *value;
	read_fn *read;
	const char *help;
} rows[] = {
    {'p', "PORT[,PORT..]", read_ports,
     "ports that clients connect to, before any redirection [25]"},
    {'i', "any|IFACE", read_interface, "interface to capture on [any]"},
    {'r', "FILE", read_file, "take the SYNs of a capture file instead"},
    {'s', "SOCKET", read_socket, "where tarryd finds us [" SIDECAR_SOCKET "]"},
    {'u', "USER", read_user,
     "user to become once the capture is open [" SIDECAR_USER "]"},
    {'n', "ENTRIES", read_entries, "SYNs to remember, 200 bytes each [65536]"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void
print_help(void)
{
	puts("usage: tarry-sidecar [option ..]\n\n"
	     "Copies the header bytes of each TCP SYN that arrives into a\n"
	     "table in memory, and hands that table to tarryd. tarryd works\n"
	     "without it; with it, clients keep their signature during SYN\n"
	     "floods, and SYNs sent again are counted.\n");
	for (size_t i = 0; i < ROWS; i++)
		printf("  -%c %-14s %s\n", rows[i].letter, rows[i].value,
		       rows[i].help);
	puts("  -V                version\n"
	     "  -h, --help        this page\n\n"
	     "It needs CAP_NET_RAW to open the capture, and gives up all\n"
	     "privileges after that. Signals: TERM ends it.\n\n"
	     "  tarry-sidecar                      port 25, all interfaces\n"
	     "  tarry-sidecar -p 25,587 -i eth0    two ports of one interface\n"
	     "  tarry-sidecar -r syns.pcap -s /tmp/syn.sock\n"
	     "                                     a capture file; no root\n\n"
	     "Manual page: tarry-sidecar(8)");
}

static enum sidecar_options_result
wrong(const char *what, const char *why)
{
	sidecar_say("%s: %s; --help shows all options", what, why);
	return SIDECAR_OPTIONS_WRONG;
}

static const struct row *
find_row(const char *text)
{
	if (text[0] != '-' || text[1] == '\0')
		return NULL;
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].letter == text[1])
			return &rows[i];
	}
	return NULL;
}

/* Options that print something and end. */
static bool
is_answered(const char *text)
{
	if (strcmp(text, "-h") == 0 || strcmp(text, "--help") == 0) {
		print_help();
		return true;
	}
	if (strcmp(text, "-V") == 0 || strcmp(text, "--version") == 0) {
		puts("tarry-sidecar " TARRY_VERSION);
		return true;
	}
	return false;
}

enum sidecar_options_result
sidecar_options_read(struct sidecar_options *options, int argc, char **argv)
{
	memset(options, 0, sizeof(*options));
	options->ports[0] = 25;
	options->interface = "any";
	options->socket = SIDECAR_SOCKET;
	options->entries_count = SYN_TABLE_ENTRIES_DEFAULT;
	for (int i = 1; i < argc; i++) {
		const struct row *row = find_row(argv[i]);
		const char *text = argv[i] + 2;
		const char *why;

		if (is_answered(argv[i]))
			return SIDECAR_OPTIONS_DONE;
		if (row == NULL)
			return wrong(argv[i], "no such option");
		if (*text == '\0') {
			if (++i == argc)
				return wrong(argv[i - 1], "its value is "
							  "missing");
			text = argv[i];
		}
		why = row->read(options, text);
		if (why != NULL)
			return wrong(text, why);
	}
	return SIDECAR_OPTIONS_RUN;
}
