/*
 * tarry-sink -l ADDR -d DIR [--proxy v1|v2|none]
 */
#include <getopt.h>
#include <stdio.h>
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

static bool
parse(struct sink_options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"proxy", required_argument, NULL, 'p'},
	    {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "l:d:", longs, NULL)) != -1) {
		if (c == 'l' && !addr_parse(&o->listen, optarg, strlen(optarg)))
			return false;
		if (c == 'p' && !parse_proxy(&o->proxy, optarg))
			return false;
		if (c == 'd')
			o->directory = optarg;
		if (c == '?')
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
