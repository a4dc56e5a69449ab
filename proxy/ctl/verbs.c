#include "proxy/ctl/verbs.h"

#include <string.h>

/* clang-format off */
const struct verb verbs[] = {
	{"status", "", 0, 0,
	 "how it is: sessions, MTA, sidecar, on one screen",
	 verb_status},
	{"sessions", "[COUNT]", 0, 1,
	 "who is connected, COUNT at most (100): class, rule, how long held",
	 verb_sessions},
	{"signatures", "[COUNT]", 0, 1,
	 "which stack signatures there were of late, COUNT at most (50), and\n"
	 "what became of their mail",
	 verb_signatures},
	{"top", "[once]", 0, 1,
	 "status, signatures and sessions, live; who is held longest comes\n"
	 "first, and keys choose and release a session; once, or where there\n"
	 "is no terminal: print it and end",
	 verb_top},
	{"explain", "ADDRESS[:PORT]|SESSION", 1, 1,
	 "why that session, or the latest one of that client, is treated as it\n"
	 "is: each rule and its conditions, the plan, what holds it now; of an\n"
	 "address without a session, what its next one would get",
	 verb_explain},
	{"release", "ADDRESS[:PORT]|SESSION", 1, 1,
	 "end the delays of that session, or of all of that client",
	 verb_release},
	{"doctor", "[SESSIONS]", 0, 1,
	 "try the MTA as it is configured: reachable, sees the client, relays\n"
	 "or not, TLS, certificate, room for SESSIONS at a time (20; 0: not\n"
	 "tried), patience; say what is wrong and what to type; sends no mail",
	 verb_doctor},
	{"effect", "[RULE]", 0, 1,
	 "what delays did, from those left unslowed (learn.holdout): spam and\n"
	 "good mail of both, the difference and its interval, by rule and by\n"
	 "stack signature; of RULE alone",
	 verb_effect},
	{"patience", "[SIGNATURE|- [BAD [GOOD]]]", 0, 3,
	 "who leaves after how long a delay, all or one stack signature; and\n"
	 "the delay by which BAD percent (90) of the bad senders have left and\n"
	 "fewer than GOOD (100) of a million good ones",
	 verb_patience},
	{"reload", "", 0, 0,
	 "read the configuration again; if there are mistakes, print each and\n"
	 "change nothing",
	 verb_reload},
	{"shadow", "[on|off [RULE]]", 0, 2,
	 "on: only note what would be delayed, off: delay it; RULE alone, or\n"
	 "all; until the configuration is read again; nothing: say what is",
	 verb_shadow},
	{"set", "[WHO good|suspect|bad [[for] DURATION]]", 0, 4,
	 "pin what rules take for the reputation of WHO, an address, network or\n"
	 "signature (* may stand in it), for DURATION (1d), whatever is learnt;\n"
	 "nothing: say who is pinned",
	 verb_set},
	{"unset", "WHO", 1, 1,
	 "take that back; WHO as it was written",
	 verb_unset},
	{"drain", "", 0, 0,
	 "shut down: no new clients, all delays end, sessions run to their end",
	 verb_drain},
	{"signature", "FILE|HEX|TEXT", 1, 1,
	 "what the SYNs of a capture file (-: standard input), the hex digits\n"
	 "of an IP packet, or a signature's text are called: its three forms,\n"
	 "label, and the rules that ask for it, of the file that -c names;\n"
	 "needs no tarryd",
	 verb_signature},
	{"simulate", "SCENARIO", 1, 1,
	 "play a site that does not exist: senders and bots as the file says,\n"
	 "by the rules that --rules names, under a virtual clock; say how many\n"
	 "are held, the MTA's load, memory, mail, added delay and who gives up;\n"
	 "needs no tarryd",
	 verb_simulate},
	{"replay", "JOURNAL|PCAP", 1, 1,
	 "make the decisions of a journal again by the rules that --rules\n"
	 "names: which sessions would be treated otherwise than they were, or\n"
	 "than by --against, how much later good mail would have come, who\n"
	 "would have left; of a capture file only the first plan of each SYN;\n"
	 "needs no tarryd",
	 verb_replay},
	{"lint", "[FILE]", 0, 1,
	 "say what is wrong in a configuration, and which of its rules do\n"
	 "nothing: never reached, never true, points that nobody can have;\n"
	 "needs no tarryd",
	 verb_lint},
	{"verdict", "WORD WHO [SOCKET]", 2, 3,
	 "tell what became of a mail: WORD is one of ham, spam, virus,\n"
	 "unknown_user, rejected, deferred, delivered, bounced; WHO is the\n"
	 "client's ADDRESS:PORT as the MTA saw it, or a queue id that such a\n"
	 "line has named before; SOCKET is verdict.socket of tarryd",
	 verb_verdict},
	{"follow", "PROGRAM FILE|-|ADDRESS:PORT [SOCKET]", 2, 3,
	 "read the log of postfix or exim, and go on with it as it grows and\n"
	 "is rotated, or standard input to its end (-: journalctl -f), or\n"
	 "what rspamd sends by HTTP to an address of this host, and send what\n"
	 "it says of each mail to tarryd",
	 verb_follow},
	{"dump", "[KIND [COUNT]]", 0, 2,
	 "print what is remembered, a JSON object a line: all of it, or the\n"
	 "rows of KIND, COUNT of them at most",
	 verb_dump},
	{"load", "FILE|- [dry]", 1, 2,
	 "add such lines to what is remembered; of two counts for one sender\n"
	 "the larger holds, so the same twice adds nothing; lines that are not\n"
	 "understood are named and skipped; dry: only say what would be done",
	 verb_load},
};
/* clang-format on */

const size_t verbs_count = sizeof(verbs) / sizeof(verbs[0]);

const struct verb *
verb_find(const char *name)
{
	for (size_t i = 0; i < verbs_count; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}
