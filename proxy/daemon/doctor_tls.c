/*
 * The third examination: the certificate that STARTTLS shows.
 */
#include "proxy/daemon/doctor_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SOON_DAYS 14
#define DAY_S 86400

enum step {
	STEP_DIAL,
	STEP_GREETING,
	STEP_EHLO,
	STEP_STARTTLS,
	STEP_TLS,
	STEP_BYE
};

static void
send_all(struct doctor *d, struct mta_talk *t)
{
	uint8_t bytes[2048];
	size_t n;

	while ((n = tls_look_take(d->look, bytes, sizeof(bytes))) > 0)
		mta_talk_send(t, bytes, n);
}

static void
write_day(int64_t unix_s, char out[16])
{
	time_t time = (time_t)unix_s;
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&time, &tm) != NULL)
		(void)strftime(out, 16, "%Y-%m-%d", &tm);
}

static void
tell_dates(struct doctor *d, const struct tls_look_certificate *c)
{
	int64_t now = (int64_t)time(NULL);
	int64_t days = (c->not_after - now) / DAY_S;
	char from[16];
	char to[16];

	write_day(c->not_before, from);
	write_day(c->not_after, to);
	if (now > c->not_after)
		doctor_tell(d, "certificate", DOCTOR_ERROR, MEND_CERTIFICATE,
			    "expired on %s: %s", to, c->subject);
	else if (now < c->not_before)
		doctor_tell(d, "certificate", DOCTOR_ERROR, MEND_CERTIFICATE,
			    "not valid before %s; is this clock right? %s",
			    from, c->subject);
	else
		doctor_tell(d, "certificate",
			    days < SOON_DAYS ? DOCTOR_WARNING : DOCTOR_OK,
			    days < SOON_DAYS ? MEND_CERTIFICATE : MEND_NOTHING,
			    "ends on %s, in %" PRId64 " days: %s%s", to, days,
			    c->subject,
			    c->is_self_issued ? ", self-signed" : "");
}

static void
tell_certificate(struct doctor *d)
{
	struct tls_look_certificate c;

	if (!tls_look_certificate(d->look, &c)) {
		doctor_tell(d, "starttls", DOCTOR_ERROR, MEND_CERTIFICATE,
			    "a handshake without a certificate");
		return;
	}
	doctor_tell(d, "starttls", DOCTOR_OK, MEND_NOTHING,
		    "offered, and the handshake is done: %s", c.version);
	tell_dates(d, &c);
	if (d->host[0] != '\0' && !c.has_name)
		doctor_tell(d, "name", DOCTOR_WARNING, MEND_NOTHING,
			    "the certificate is not for %s, the name in the "
			    "greeting: senders that check the MX host's name "
			    "(DANE, MTA-STS) check the one in DNS, which is "
			    "not looked up here",
			    d->host);
	else if (c.has_name)
		doctor_tell(d, "name", DOCTOR_OK, MEND_NOTHING,
			    "the certificate is for %s, as the greeting says",
			    d->host);
}

/* What the server said in the handshake, and what is to be said to that. */
static void
shake(struct doctor *d, struct mta_talk *t, const void *bytes, size_t len)
{
	enum tls_look_state state = tls_look_feed(d->look, bytes, len);

	if (state == TLS_LOOK_DONE) {
		tell_certificate(d);
		tls_look_quit(d->look);
	}
	send_all(d, t);
	switch (state) {
	case TLS_LOOK_GOES_ON:
		mta_talk_raw(t, DOCTOR_REPLY_MS);
		break;
	case TLS_LOOK_DONE:
		d->step = STEP_BYE;
		mta_talk_raw(t, DOCTOR_QUIT_MS);
		break;
	case TLS_LOOK_FAILED:
		doctor_tell(d, "starttls", DOCTOR_ERROR, MEND_STARTTLS,
			    "offered, but the handshake fails: %s",
			    tls_look_why(d->look));
		doctor_next(d);
		break;
	}
}

static void
break_off(struct doctor *d, const struct mta_talk_news *news)
{
	if (d->step != STEP_BYE)
		doctor_tell(d, "starttls", DOCTOR_ERROR, MEND_STARTTLS,
			    "offered, but the session broke off before the "
			    "certificate was seen%s%.*s",
			    news->len > 0 && d->step < STEP_TLS ? ": " : "",
			    d->step < STEP_TLS
				? (int)mta_probe_line(news->text, news->len)
				: 0,
			    news->text != NULL ? news->text : "");
	doctor_next(d);
}

static void
on_news(void *ctx, struct mta_talk *t, const struct mta_talk_news *news)
{
	struct doctor *d = ctx;
	bool is_reply = news->what == MTA_TALK_REPLY;
	char ehlo[DOCTOR_EHLO_CAP];

	if (d->step == STEP_DIAL && news->what == MTA_TALK_CONNECTED) {
		d->step = STEP_GREETING;
	} else if (d->step == STEP_GREETING && is_reply && news->code == 220) {
		d->step = STEP_EHLO;
		doctor_ehlo(d, t, d->mta.client_address, ehlo);
		mta_talk_say(t, ehlo, DOCTOR_REPLY_MS);
	} else if (d->step == STEP_EHLO && is_reply && news->code == 250) {
		d->step = STEP_STARTTLS;
		mta_talk_say(t, "STARTTLS\r\n", DOCTOR_REPLY_MS);
	} else if (d->step == STEP_STARTTLS && is_reply && news->code == 220) {
		d->step = STEP_TLS;
		shake(d, t, NULL, 0);
	} else if (d->step == STEP_TLS && news->what == MTA_TALK_BYTES) {
		shake(d, t, news->text, news->len);
	} else {
		break_off(d, news);
	}
}

void
doctor_tls(struct doctor *d)
{
	if (d->outcome != DOCTOR_WELL || !d->has_starttls) {
		doctor_next(d);
		return;
	}
	d->look = tls_look_new(d->host[0] != '\0' ? d->host : NULL);
	d->step = STEP_DIAL;
	if (d->look == NULL || !doctor_dial(d, &d->talk, d->mta.client_address,
					    0, DOCTOR_REPLY_MS, on_news, d))
		doctor_next(d);
}
