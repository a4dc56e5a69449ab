/*
 * See doctor.h and doctor_state.h: which examinations there are, and what
 * they share.
 */
#include "proxy/daemon/doctor_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static doctor_exam_fn *const exams[] = {
    doctor_dialogue,
    doctor_header,
    doctor_tls,
    doctor_limits,
};
/* Not the one that the header names: some MTAs repeat both. */
#define HELO_CLIENT 249
#define EXAMS (sizeof(exams) / sizeof(exams[0]))

const char *
doctor_level_name(enum doctor_level level)
{
	switch (level) {
	case DOCTOR_OK:
		return "ok";
	case DOCTOR_WARNING:
		return "warning";
	case DOCTOR_ERROR:
		return "error";
	}
	return "?";
}

void
doctor_tell(struct doctor *d, const char *check, enum doctor_level level,
	    enum doctor_mend what, const char *format, ...)
{
	char text[600];
	char mend[DOCTOR_MEND_CAP];
	const struct doctor_finding finding = {
	    .check = check, .level = level, .text = text, .mend = mend};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	doctor_mend(&d->advice, what, mend);
	d->client.found(d->client.ctx, &finding);
}

/* An address of the nets that RFC 5737 and RFC 3849 keep for documentation. */
static void
set_nobody(struct addr *out, const struct addr *like, unsigned n)
{
	uint8_t v4[4] = {192, 0, 2, (uint8_t)(n % 250 + 1)};
	uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};

	v6[14] = (uint8_t)((n + 1) >> 8);
	v6[15] = (uint8_t)(n + 1);
	if (like->family == 4)
		addr_set_v4(out, v4, (uint16_t)(40000 + n));
	else
		addr_set_v6(out, v6, (uint16_t)(40000 + n));
}

bool
doctor_is_header(enum client_address how)
{
	return how == CLIENT_ADDRESS_V1 || how == CLIENT_ADDRESS_V2;
}

void
doctor_client_text(const struct doctor *d, char out[ADDR_TEXT_CAP])
{
	struct addr a;

	set_nobody(&a, &d->mta.address, 0);
	(void)addr_ip_text(&a, out, ADDR_TEXT_CAP);
}

bool
doctor_dial(struct doctor *d, struct mta_talk **talk,
	    enum client_address header, unsigned n, uint32_t greeting_ms,
	    mta_talk_fn *tell, void *ctx)
{
	struct mta_talk_options options = {
	    .address = d->mta.address,
	    .connect_timeout_ms = d->mta.connect_timeout_ms,
	    .greeting_ms = greeting_ms,
	    .header = header,
	};

	set_nobody(&options.client, &d->mta.address, n);
	return mta_talk_open(talk, d->loop, &options, tell, ctx) == 0;
}

void
doctor_ehlo(const struct doctor *d, const struct mta_talk *t,
	    enum client_address header, char out[DOCTOR_EHLO_CAP])
{
	struct addr a = *mta_talk_self(t);
	char ip[ADDR_TEXT_CAP];

	if (doctor_is_header(header))
		set_nobody(&a, &d->mta.address, HELO_CLIENT);
	(void)addr_ip_text(&a, ip, sizeof(ip));
	(void)snprintf(out, DOCTOR_EHLO_CAP, "EHLO [%s%s]\r\n",
		       a.family == 6 ? "IPv6:" : "", ip);
}

static void
free_doctor(uv_handle_t *handle)
{
	free(handle->data);
}

static void
finish(struct doctor *d, bool is_whole)
{
	mta_talk_close(d->talk);
	doctor_limits_stop(d);
	tls_look_free(d->look);
	uv_close((uv_handle_t *)&d->timer, free_doctor);
	d->client.done(d->client.ctx, is_whole);
}

static void
on_turn(uv_timer_t *timer)
{
	struct doctor *d = timer->data;

	if (d->at == EXAMS) {
		finish(d, true);
		return;
	}
	exams[d->at++](d);
}

void
doctor_next(struct doctor *d)
{
	mta_talk_close(d->talk);
	d->talk = NULL;
	d->step = 0;
	/* In a turn of its own, so that nothing of this one runs on. */
	(void)uv_timer_start(&d->timer, on_turn, 0, 0);
}

int
doctor_start(struct doctor **out, uv_loop_t *loop, const struct config *config,
	     uint32_t sessions, const struct doctor_client *client)
{
	struct doctor *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (d == NULL)
		return -ENOMEM;
	d->loop = loop;
	d->mta = config->mta;
	d->client = *client;
	d->sessions = sessions;
	d->advice.address = config->mta.address;
	(void)uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	*out = d;
	doctor_next(d);
	return 0;
}

void
doctor_stop(struct doctor *d)
{
	if (d != NULL)
		finish(d, false);
}
