/*
 * The verb `verdict`: one line of what became of a mail, by hand.
 */
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/verbs.h"
#include "proxy/ctl/verdict_sender.h"
#include "tarry/addr.h"

static bool
is_verdict(const char *word)
{
	static const char *const words[] = {
#define VERDICT(id, name, help) name,
#include "tarry/verdict.def"
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static bool
is_id(const char *text)
{
	size_t len = strlen(text);
	struct addr no_port;

	if (addr_parse_ip(&no_port, text, len))
		return false; /* a port was forgotten */
	return len > 0 && len <= 63 &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789-_.") == len;
}

enum ctl_exit
verb_verdict(const struct ctl *ctl, int argc, char **argv)
{
	struct verdict_out out = {.verdict = argv[0], .source = "operator"};
	struct verdict_sender sender;
	struct addr client;
	bool is_sent;

	(void)ctl;
	if (!is_verdict(argv[0])) {
		fputs("tarryctl: that verdict is none of ham, spam, virus, "
		      "unknown_user, rejected, deferred, delivered, bounced\n",
		      stderr);
		return CTL_USAGE;
	}
	if (addr_parse(&client, argv[1], strlen(argv[1])) && client.port != 0) {
		out.client = argv[1];
	} else if (is_id(argv[1])) {
		out.id = argv[1];
	} else {
		fputs("tarryctl: WHO is neither ADDRESS:PORT nor a queue id\n",
		      stderr);
		return CTL_USAGE;
	}
	if (!verdict_sender_open(&sender, argc > 2 ? argv[2] : NULL))
		return CTL_LATER;
	is_sent = verdict_sender_send(&sender, &out);
	verdict_sender_close(&sender);
	return is_sent ? CTL_FINE : CTL_LATER;
}
