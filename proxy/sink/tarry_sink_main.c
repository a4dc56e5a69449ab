/*
 * tarry-sink -l ADDR -d DIR [--proxy v1|v2|none]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "proxy/sink/sink.h"

static const char usage[] =
    "usage: tarry-sink -l ADDR:PORT -d DIR [--proxy v1|v2|none]\n"
    "Keeps mail in files DIR/N.eml and DIR/N.env. Hands nothing on.\n"
    "--proxy: the PROXY header that clients send first (default v2)\n";

static bool
parse_proxy(enum client_address *proxy, const char *text)
{
	static const char *const names[] = {"none", "v1", "v2"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*proxy = (enum client_address)i;
			return true;
		}
	}
	return false;
}

/* What one option says; false, and said, if it cannot be. */
static bool
take(struct sink_options *o, int option, const char *text)
{
	bool fine = option != '?'; /* else getopt has said it */

	if (option == 'd')
		o->directory = text;
	if (option == 'l')
		fine = addr_parse(&o->listen, text, strlen(text));
	if (option == 'p')
		fine = parse_proxy(&o->proxy, text);
	if (!fine && option != '?')
		fprintf(stderr, "tarry-sink: %s is no %s\n", text,
			option == 'l' ? "address such as 127.0.0.1:2525"
				      : "PROXY header: v1, v2 or none");
	return fine;
}

static bool
parse(struct sink_options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"proxy", required_argument, NULL, 'p'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "l:d:h", longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			exit(0);
		}
		if (!take(o, c, optarg))
			return false;
	}
	return optind == argc && o->listen.family != 0 && o->directory != NULL;
}

int
main(int argc, char **argv)
{
	struct sink_options options = {.proxy = CLIENT_ADDRESS_V2};
	int rc;

	if (!parse(&options, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	rc = sink_run(&options);
	if (rc == 0)
		return 0;
	fprintf(stderr, "tarry-sink: %s\n", uv_strerror(rc));
	return 1;
}
