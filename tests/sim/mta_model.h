/*
 * A little SMTP server for simulated time: reads commands, says replies. It is
 * written apart from the observer on purpose, to be a second opinion on where
 * commands, payload and replies begin and end.
 */
#ifndef TESTS_SIM_MTA_MODEL_H
#define TESTS_SIM_MTA_MODEL_H

#include "tarry/smtp.h"

enum mta_state {
	MTA_COMMANDS,
	MTA_DATA,
	MTA_BDAT,
	MTA_AUTH,
	MTA_TLS,
	MTA_DEAF
};

struct mta_model;

/* Called for each reply; `verb` is the command it answers. */
typedef void mta_model_say(struct mta_model *m, enum smtp_verb verb,
			   const char *text, size_t len);

struct mta_model {
	enum mta_state state;
	char line[1200];
	size_t line_len;
	uint64_t octets;
	bool is_last;
	bool null_sender;
	unsigned rcpts; /* commands in this transaction */
	unsigned rcpts_ok;
	bool prdr;
	bool refuses_tls;   /* a reply for each recipient behind a dot */
	bool takes_bare_lf; /* LF . LF ends DATA */
	bool refuses_rcpt;  /* every second one */
	uint32_t tail;	    /* last four bytes of the payload */
	void *arg;
	mta_model_say *say;
};

/* Back to the state behind the greeting; keeps the settings. */
void mta_model_reset(struct mta_model *m);

void mta_model_hear(struct mta_model *m, const uint8_t *bytes, size_t len);

#endif
