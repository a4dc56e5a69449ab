/*
 * The first examination: a session as a client would have it, up to a RCPT
 * that must be refused. One function a step; each hears what came of what the
 * one before it asked.
 */
#include "proxy/daemon/doctor_state.h"

#include <stdio.h>
#include <string.h>

#define GREETING_SLOW_MS 5000
/* RFC 2606: nobody's mail, for ever. */
#define RCPT_TEXT "RCPT TO:<tarry-doctor@example.net>\r\n"

typedef void step_fn(struct doctor *d, const struct mta_talk_news *news);

enum step {
	STEP_DIAL,
	STEP_GREETING,
	STEP_SILENCE,
	STEP_EHLO,
	STEP_MAIL,
	STEP_RCPT,
	STEP_RSET,
	STEP_PATIENCE,
	STEP_QUIT
};

static void
give_up(struct doctor *d, enum doctor_outcome outcome)
{
	d->outcome = outcome;
	doctor_next(d);
}

static void
say(struct doctor *d, enum step next, const char *text)
{
	d->step = next;
	mta_talk_say(d->talk, text, DOCTOR_REPLY_MS);
}

static void
tell_no_connection(struct doctor *d, int error)
{
	char address[ADDR_TEXT_CAP];

	(void)addr_text(&d->mta.address, address, sizeof(address));
	if (error == UV_ECONNREFUSED)
		doctor_tell(d, "reachable", DOCTOR_ERROR, MEND_REFUSED,
			    "%s refuses connections: nobody listens there",
			    address);
	else if (error == UV_ETIMEDOUT)
		doctor_tell(d, "reachable", DOCTOR_ERROR, MEND_NO_ANSWER,
			    "%s does not answer: no connection within %u ms",
			    address, (unsigned)d->mta.connect_timeout_ms);
	else
		doctor_tell(d, "reachable", DOCTOR_ERROR, MEND_NO_ANSWER,
			    "%s cannot be reached: %s", address,
			    uv_strerror(error));
}

static void
on_dial(struct doctor *d, const struct mta_talk_news *news)
{
	char address[ADDR_TEXT_CAP];

	if (news->what != MTA_TALK_CONNECTED) {
		tell_no_connection(d, news->error);
		give_up(d, DOCTOR_GONE);
		return;
	}
	d->advice.self = *mta_talk_self(d->talk);
	d->connected_ms = mta_talk_age(d->talk);
	(void)addr_text(&d->mta.address, address, sizeof(address));
	doctor_tell(d, "reachable", DOCTOR_OK, MEND_NOTHING,
		    "%s accepts connections, after %u ms", address,
		    (unsigned)d->connected_ms);
	d->step = STEP_GREETING;
}

static const char *
header_words(const struct doctor *d)
{
	return doctor_is_header(d->mta.client_address)
		   ? "a PROXY header was sent"
		   : "no PROXY header was sent";
}

static void
tell_no_greeting(struct doctor *d, const struct mta_talk_news *news)
{
	unsigned ms = mta_talk_age(d->talk) - d->connected_ms;

	if (news->what == MTA_TALK_REPLY)
		doctor_tell(d, "greeting", DOCTOR_ERROR, MEND_NOTHING,
			    "it greets with a refusal (%s): %.*s",
			    header_words(d), DOCTOR_LINE(news));
	else if (news->what == MTA_TALK_NOISE)
		doctor_tell(d, "greeting", DOCTOR_ERROR, MEND_NOTHING,
			    "its greeting is no SMTP reply (%s): %.*s",
			    header_words(d), DOCTOR_LINE(news));
	else if (news->what == MTA_TALK_QUIET)
		doctor_tell(d, "greeting", DOCTOR_ERROR, MEND_NOTHING,
			    "no greeting within %d s (%s)",
			    DOCTOR_REPLY_MS / 1000, header_words(d));
	else
		doctor_tell(d, "greeting", DOCTOR_ERROR, MEND_NOTHING,
			    "it hung up after %u ms without a greeting (%s)",
			    ms, header_words(d));
}

static void
on_greeting(struct doctor *d, const struct mta_talk_news *news)
{
	unsigned ms = mta_talk_age(d->talk) - d->connected_ms;
	bool is_slow = ms > GREETING_SLOW_MS;

	if (news->what != MTA_TALK_REPLY || news->code != 220) {
		tell_no_greeting(d, news);
		give_up(d, DOCTOR_ODD);
		return;
	}
	mta_probe_name(news->text, news->len, d->host, sizeof(d->host));
	d->advice.software = doctor_software_of(news->text, news->len);
	doctor_tell(d, "greeting", is_slow ? DOCTOR_WARNING : DOCTOR_OK,
		    MEND_NOTHING, "it greets after %u ms%s: %.*s", ms,
		    is_slow ? ", which every client waits for; a pause or a "
			      "look-up of the MTA's own is not needed behind "
			      "Tarry"
			    : "",
		    DOCTOR_LINE(news));
	d->step = STEP_SILENCE;
	mta_talk_listen(d->talk, DOCTOR_SILENCE_MS);
}

static void
on_silence(struct doctor *d, const struct mta_talk_news *news)
{
	char ehlo[DOCTOR_EHLO_CAP];

	if (news->what == MTA_TALK_QUIET) {
		doctor_ehlo(d, d->talk, d->mta.client_address, ehlo);
		say(d, STEP_EHLO, ehlo);
		return;
	}
	if (news->what == MTA_TALK_ENDED)
		doctor_tell(d, "client", DOCTOR_ERROR, MEND_NOTHING,
			    "it hangs up right behind its greeting (%s)",
			    header_words(d));
	else if (doctor_is_header(d->mta.client_address))
		doctor_tell(d, "client", DOCTOR_ERROR, MEND_NOTHING,
			    "it takes the PROXY header for commands and "
			    "answers it: %.*s",
			    DOCTOR_LINE(news));
	else
		doctor_tell(d, "client", DOCTOR_ERROR, MEND_NOTHING,
			    "it says more than it was asked for: %.*s",
			    DOCTOR_LINE(news));
	give_up(d, DOCTOR_ODD);
}

/* True if it repeats the address, as some do in their answer to EHLO. */
static bool
names(const struct mta_talk_news *news, const char *ip)
{
	char want[ADDR_TEXT_CAP + 1];

	(void)snprintf(want, sizeof(want), "%s]", ip);
	return memmem(news->text, news->len, want, strlen(want)) != NULL;
}

/* Whom it believes to speak with. */
static void
tell_client(struct doctor *d, const struct mta_talk_news *news)
{
	char self[ADDR_TEXT_CAP];
	char client[ADDR_TEXT_CAP];

	(void)addr_ip_text(mta_talk_self(d->talk), self, sizeof(self));
	doctor_client_text(d, client);
	if (d->mta.client_address == CLIENT_ADDRESS_NONE)
		doctor_tell(d, "client", DOCTOR_WARNING, MEND_RELAY_SELF,
			    "it takes every client for %s: its lists, limits "
			    "and log see nobody else",
			    self);
	else if (d->mta.client_address == CLIENT_ADDRESS_TRANSPARENT)
		doctor_tell(d, "client", DOCTOR_OK, MEND_NOTHING,
			    "clients come to it from their own addresses; this "
			    "session, which came from %s, cannot show that",
			    self);
	else if (names(news, client))
		doctor_tell(d, "client", DOCTOR_OK, MEND_NOTHING,
			    "it takes the PROXY header: it calls us by the "
			    "client's address, %s",
			    client);
	else if (names(news, self))
		doctor_tell(d, "client", DOCTOR_ERROR, MEND_PROXY,
			    "it swallows the PROXY header and still calls us "
			    "%s, not by the client's address",
			    self);
	else
		doctor_tell(d, "client", DOCTOR_OK, MEND_NOTHING,
			    "it takes the PROXY header and answers nothing to "
			    "it; whom it sees only its log tells: for this "
			    "session that should be %s",
			    client);
}

static void
tell_offers(struct doctor *d, const struct mta_talk_news *news)
{
	static const struct {
		const char *keyword;
		const char *check;
		const char *without;
	} rows[] = {
	    {"PIPELINING", "pipelining",
	     "not offered: each command of a sender waits for the reply before "
	     "it"},
	    {"PIPECONNECT", "pipeconnect",
	     "not offered: a client that speaks before the greeting counts as "
	     "an early talker"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool has = mta_probe_has_keyword(news->text, news->len,
						 rows[i].keyword);

		doctor_tell(d, rows[i].check, DOCTOR_OK, MEND_NOTHING, "%s",
			    has ? "offered" : rows[i].without);
	}
	d->has_starttls =
	    mta_probe_has_keyword(news->text, news->len, "STARTTLS");
	if (!d->has_starttls)
		doctor_tell(d, "starttls", DOCTOR_WARNING, MEND_STARTTLS,
			    "not offered: mail comes unencrypted, and senders "
			    "that insist on TLS do not deliver");
}

static void
on_ehlo(struct doctor *d, const struct mta_talk_news *news)
{
	if (news->what != MTA_TALK_REPLY || news->code != 250) {
		doctor_tell(d, "client", DOCTOR_ERROR, MEND_NOTHING,
			    "no good answer to EHLO (%s)%s%.*s",
			    header_words(d), news->len > 0 ? ": " : "",
			    DOCTOR_LINE(news));
		give_up(d, DOCTOR_ODD);
		return;
	}
	if (d->advice.software == DOCTOR_UNKNOWN)
		d->advice.software = doctor_software_of(news->text, news->len);
	tell_client(d, news);
	tell_offers(d, news);
	if (d->mta.client_address != CLIENT_ADDRESS_TRANSPARENT) {
		say(d, STEP_MAIL, "MAIL FROM:<>\r\n");
		return;
	}
	doctor_tell(d, "relay", DOCTOR_OK, MEND_NOTHING,
		    "as without Tarry: it sees each client's own address; not "
		    "tried from here, as it may trust this host");
	say(d, STEP_RSET, "RSET\r\n");
}

/* The MTA has gone in the middle of things. */
static bool
is_over(struct doctor *d, const struct mta_talk_news *news, const char *check)
{
	if (news->what == MTA_TALK_REPLY)
		return false;
	doctor_tell(d, check, DOCTOR_WARNING, MEND_NOTHING,
		    "not seen: the session broke off%s%.*s",
		    news->len > 0 ? " with: " : "", DOCTOR_LINE(news));
	give_up(d, DOCTOR_WELL);
	return true;
}

static void
on_mail(struct doctor *d, const struct mta_talk_news *news)
{
	if (is_over(d, news, "relay"))
		return;
	if (news->code / 100 == 2) {
		say(d, STEP_RCPT, RCPT_TEXT);
		return;
	}
	doctor_tell(d, "relay", DOCTOR_WARNING, MEND_NOTHING,
		    "not seen: it refuses MAIL FROM:<>, which every MTA must "
		    "take (RFC 5321 4.5.5): %.*s",
		    DOCTOR_LINE(news));
	say(d, STEP_RSET, "RSET\r\n");
}

static void
on_rcpt(struct doctor *d, const struct mta_talk_news *news)
{
	bool is_none = d->mta.client_address == CLIENT_ADDRESS_NONE;

	if (is_over(d, news, "relay"))
		return;
	if (news->code / 100 == 2)
		doctor_tell(d, "relay", DOCTOR_ERROR,
			    is_none ? MEND_RELAY_SELF : MEND_RELAY,
			    "OPEN RELAY: it takes mail of anybody for anybody "
			    "(example.net)%s: %.*s",
			    is_none ? ", as it takes the client for us" : "",
			    DOCTOR_LINE(news));
	else if (news->code / 100 == 5)
		doctor_tell(d, "relay", DOCTOR_OK, MEND_NOTHING,
			    "it does not relay for strangers: %.*s",
			    DOCTOR_LINE(news));
	else
		doctor_tell(d, "relay", DOCTOR_WARNING, MEND_NOTHING,
			    "not seen: it refuses a stranger's recipient only "
			    "for now: %.*s",
			    DOCTOR_LINE(news));
	say(d, STEP_RSET, "RSET\r\n");
}

static void
on_rset(struct doctor *d, const struct mta_talk_news *news)
{
	if (is_over(d, news, "patience"))
		return;
	d->step = STEP_PATIENCE;
	d->since_ms = mta_talk_age(d->talk);
	mta_talk_listen(d->talk, d->mta.patience_ms + DOCTOR_SILENCE_MS);
}

static void
on_patience(struct doctor *d, const struct mta_talk_news *news)
{
	unsigned ms = mta_talk_age(d->talk) - d->since_ms;

	if (news->what == MTA_TALK_QUIET) {
		doctor_tell(d, "patience", DOCTOR_OK, MEND_NOTHING,
			    "it waited %u s for the next command; mta.patience "
			    "is %u s",
			    ms / 1000, (unsigned)d->mta.patience_ms / 1000);
		say(d, STEP_QUIT, "QUIT\r\n");
		return;
	}
	d->advice.number = ms > 2000 ? ms / 1000 - 1 : 1;
	doctor_tell(d, "patience", DOCTOR_ERROR, MEND_PATIENCE,
		    "it gave up after %u.%u s without a command, and "
		    "mta.patience is %u s",
		    ms / 1000, ms % 1000 / 100,
		    (unsigned)d->mta.patience_ms / 1000);
	give_up(d, DOCTOR_WELL);
}

static void
on_quit(struct doctor *d, const struct mta_talk_news *news)
{
	(void)news; /* whatever it says to that */
	give_up(d, DOCTOR_WELL);
}

static void
on_news(void *ctx, struct mta_talk *t, const struct mta_talk_news *news)
{
	static step_fn *const steps[] = {
	    [STEP_DIAL] = on_dial,	 [STEP_GREETING] = on_greeting,
	    [STEP_SILENCE] = on_silence, [STEP_EHLO] = on_ehlo,
	    [STEP_MAIL] = on_mail,	 [STEP_RCPT] = on_rcpt,
	    [STEP_RSET] = on_rset,	 [STEP_PATIENCE] = on_patience,
	    [STEP_QUIT] = on_quit,
	};
	struct doctor *d = ctx;

	(void)t;
	steps[d->step](d, news);
}

void
doctor_dialogue(struct doctor *d)
{
	d->step = STEP_DIAL;
	if (d->mta.address.family == 0) {
		doctor_tell(d, "reachable", DOCTOR_WARNING, MEND_NOTHING,
			    "mta.address is original: each client names its "
			    "own MTA, there is none to be tried");
		doctor_next(d);
		return;
	}
	if (!doctor_dial(d, &d->talk, d->mta.client_address, 0, DOCTOR_REPLY_MS,
			 on_news, d))
		doctor_next(d);
}
