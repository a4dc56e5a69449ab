/*
 * The second examination, where the session did not go as it should: is it
 * the PROXY header? Every other way is tried; one that the MTA takes without
 * a stray answer is what it expects.
 */
#include "proxy/daemon/doctor_state.h"

/* Postfix waits 5 s for a header, Exim 3. */
#define GREETING_MS 7000
#define QUIET_MS 300

enum step {
	STEP_DIAL,
	STEP_GREETING,
	STEP_SILENCE,
	STEP_EHLO,
	STEP_BYE,
};

static const struct {
	enum client_address header;
	const char *value;
} ways[] = {
    {CLIENT_ADDRESS_V2, "proxy_v2"},
    {CLIENT_ADDRESS_V1, "proxy_v1"},
    {CLIENT_ADDRESS_NONE, "none"},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void
tell_good_way(struct doctor *d)
{
	d->advice.header = ways[d->tried].value;
	if (ways[d->tried].header != CLIENT_ADDRESS_NONE) {
		doctor_tell(d, "header", DOCTOR_ERROR, MEND_HEADER,
			    "it expects the header of %s: with that it "
			    "speaks as it should",
			    d->advice.header);
		return;
	}
	doctor_tell(d, "header", DOCTOR_ERROR, MEND_PROXY,
		    "it expects no PROXY header: without one it speaks as it "
		    "should; let it expect one");
}

static void try_way(struct doctor *d);

static void
next_way(struct doctor *d)
{
	mta_talk_close(d->talk);
	d->talk = NULL;
	d->tried++;
	try_way(d);
}

static void
on_news(void *ctx, struct mta_talk *t, const struct mta_talk_news *news)
{
	struct doctor *d = ctx;
	bool is_reply = news->what == MTA_TALK_REPLY;
	bool is_quiet = news->what == MTA_TALK_QUIET;
	char ehlo[DOCTOR_EHLO_CAP];

	if (d->step == STEP_DIAL && news->what == MTA_TALK_CONNECTED) {
		d->step = STEP_GREETING;
	} else if (d->step == STEP_GREETING && is_reply && news->code == 220) {
		d->advice.software = doctor_software_of(news->text, news->len);
		d->step = STEP_SILENCE;
		mta_talk_listen(t, DOCTOR_SILENCE_MS);
	} else if (d->step == STEP_SILENCE && is_quiet) {
		d->step = STEP_EHLO;
		doctor_ehlo(d, t, ways[d->tried].header, ehlo);
		mta_talk_say(t, ehlo, GREETING_MS);
	} else if (d->step == STEP_EHLO && is_reply && news->code == 250) {
		d->step = STEP_BYE;
		mta_talk_listen(t, QUIET_MS);
	} else if (d->step == STEP_BYE && is_quiet) {
		mta_talk_send(t, "QUIT\r\n", 6);
		tell_good_way(d);
		doctor_next(d);
	} else {
		next_way(d);
	}
}

static void
try_way(struct doctor *d)
{
	if (d->tried < WAYS && ways[d->tried].header == d->mta.client_address)
		d->tried++;
	if (d->tried >= WAYS) {
		doctor_tell(d, "header", DOCTOR_ERROR, MEND_PROXY,
			    "with no other kind of header, and without one, "
			    "does it speak as it should; its log may say why");
		doctor_next(d);
		return;
	}
	d->step = STEP_DIAL;
	if (!doctor_dial(d, &d->talk, ways[d->tried].header, 0, GREETING_MS,
			 on_news, d))
		doctor_next(d);
}

void
doctor_header(struct doctor *d)
{
	if (d->outcome != DOCTOR_ODD)
		doctor_next(d);
	else
		try_way(d);
}
