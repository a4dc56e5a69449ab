/* The corpus: what clients say, and what they wait for before each part. */
#ifndef TESTS_SIM_DIALOGUES_H
#define TESTS_SIM_DIALOGUES_H

#include <stdbool.h>

enum dialogue_end {
	CLIENT_WAITS,  /* for our FIN, then closes */
	CLIENT_CLOSES, /* when its last reply is there */
	CLIENT_SHUTS   /* right behind its last byte: half-close */
};

struct dialogue_part {
	int replies; /* whole replies seen before this is said */
	const char *text;
};

struct dialogue {
	const char *name;
	struct dialogue_part parts[12];
	int last_reply; /* CLIENT_CLOSES: replies in all */
	enum dialogue_end end;
	bool ends_tls; /* STARTTLS is answered by us, or tried to be */
	bool prdr;
	bool takes_bare_lf;
	bool refuses_rcpt;
	/* What is told of it: p pipelining, n non_smtp, b bare_newline. */
	const char *manners;
	bool is_loose; /* replies cannot be foretold: only bytes are checked */
};

extern const struct dialogue dialogues[];
extern const int dialogues_count;

#endif
