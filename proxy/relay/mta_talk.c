/*
 * See mta_talk.h. Whatever happens is told once: a talk that has ended, or in
 * which a step went wrong, stays silent until it is closed or told its next
 * step.
 */
#include "proxy/relay/mta_talk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/relay/container_of.h"
#include "proxy/relay/sockaddr.h"
#include "tarry/session.h"

#define HEARD_CAP 8192

enum step { STEP_DIAL, STEP_REPLY, STEP_QUIET, STEP_RAW, STEP_REST };

struct mta_talk {
	struct mta_talk_options options;
	mta_talk_fn *tell;
	void *ctx;
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connect;
	unsigned open_handles;
	bool is_closed;
	enum step step;
	int error; /* told as ENDED when the timer fires; 0: none */
	uint64_t opened_ms;
	struct addr self;
	struct smtp_reply reply;
	bool is_behind;	  /* bytes came before their step */
	uint64_t ends_ms; /* of the step */
	size_t told_len;  /* of `heard`, by the step before */
	size_t heard_len;
	char heard[HEARD_CAP];
};

static void on_time(uv_timer_t *timer);
static void hear(struct mta_talk *t);

static void
go(struct mta_talk *t, enum step step, uint32_t ms)
{
	t->step = step;
	t->ends_ms = uv_now(t->timer.loop) + ms;
	/* What is there already is heard in a turn of its own: nothing is
	 * told from within the call that begins the step. */
	t->is_behind = t->heard_len > 0;
	if (t->error != 0 || t->is_behind)
		ms = 0;
	(void)uv_timer_start(&t->timer, on_time, ms, 0);
}

static void
tell(struct mta_talk *t, const struct mta_talk_news *news)
{
	if (!t->is_closed)
		t->tell(t->ctx, t, news);
}

/* Nothing more is heard of it. */
static void
end(struct mta_talk *t, int error)
{
	const struct mta_talk_news news = {.what = MTA_TALK_ENDED,
					   .error = error};

	t->error = error;
	if (t->step == STEP_REST)
		return;
	t->step = STEP_REST;
	(void)uv_timer_stop(&t->timer);
	tell(t, &news);
}

static uint64_t
left_ms(const struct mta_talk *t)
{
	uint64_t now = uv_now(t->timer.loop);

	return now < t->ends_ms ? t->ends_ms - now : 0;
}

static void
on_time(uv_timer_t *timer)
{
	struct mta_talk *t = container_of(timer, struct mta_talk, timer);
	const struct mta_talk_news news = {
	    .what = MTA_TALK_QUIET, .text = t->heard, .len = t->heard_len};

	if (t->is_behind) {
		t->is_behind = false;
		(void)uv_timer_start(timer, on_time, left_ms(t), 0);
		hear(t);
		return;
	}
	if (t->error != 0 || t->step == STEP_DIAL) {
		end(t, t->error != 0 ? t->error : UV_ETIMEDOUT);
		return;
	}
	t->step = STEP_REST;
	tell(t, &news);
}

/* Tells what was heard, len bytes of it. */
static void
tell_heard(struct mta_talk *t, enum mta_talk_event what, size_t len)
{
	const struct mta_talk_news news = {
	    .what = what, .code = t->reply.code, .text = t->heard, .len = len};

	t->told_len = len;
	t->step = STEP_REST;
	(void)uv_timer_stop(&t->timer);
	tell(t, &news);
}

static void
hear_reply(struct mta_talk *t)
{
	size_t at = t->reply.len;
	size_t used = 0;

	switch (smtp_reply_read(&t->reply, (const uint8_t *)t->heard + at,
				t->heard_len - at, &used)) {
	case SMTP_REPLY_MORE:
		if (t->heard_len == HEARD_CAP)
			tell_heard(t, MTA_TALK_NOISE, t->heard_len);
		break;
	case SMTP_REPLY_LOST:
		tell_heard(t, MTA_TALK_NOISE, t->heard_len);
		break;
	case SMTP_REPLY_DONE:
		tell_heard(t, MTA_TALK_REPLY, at + used);
		break;
	}
}

/* What is there, for the step that is under way. */
static void
hear(struct mta_talk *t)
{
	if (t->heard_len == 0)
		return;
	switch (t->step) {
	case STEP_REPLY:
		hear_reply(t);
		break;
	case STEP_QUIET:
		tell_heard(t, MTA_TALK_NOISE, t->heard_len);
		break;
	case STEP_RAW:
		tell_heard(t, MTA_TALK_BYTES, t->heard_len);
		break;
	case STEP_DIAL:
	case STEP_REST:
		break;
	}
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct mta_talk *t = handle->data;

	(void)suggested;
	*buf = uv_buf_init(t->heard + t->heard_len,
			   (unsigned)(HEARD_CAP - t->heard_len));
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct mta_talk *t = stream->data;

	(void)buf;
	if (t->is_closed || nread == 0)
		return;
	if (nread < 0) {
		(void)uv_read_stop(stream);
		end(t, (int)nread);
		return;
	}
	t->heard_len += (size_t)nread;
	hear(t);
}

/* Begins a step with what came behind that of the one before. */
static void
begin(struct mta_talk *t, enum step step, uint32_t ms)
{
	t->heard_len -= t->told_len;
	memmove(t->heard, t->heard + t->told_len, t->heard_len);
	t->told_len = 0;
	memset(&t->reply, 0, sizeof(t->reply));
	go(t, step, ms);
}

static void
on_connect(uv_connect_t *request, int status)
{
	struct mta_talk *t = container_of(request, struct mta_talk, connect);
	const struct mta_talk_news news = {.what = MTA_TALK_CONNECTED};
	struct sockaddr_storage sa;
	int sa_len = sizeof(sa);
	char header[SESSION_SAY_CAP];
	size_t len;

	if (t->is_closed || t->step != STEP_DIAL)
		return;
	if (status == 0)
		status = uv_tcp_getsockname(&t->tcp, (struct sockaddr *)&sa,
					    &sa_len);
	if (status != 0) {
		end(t, status);
		return;
	}
	sockaddr_get(&t->self, &sa);
	begin(t, STEP_REPLY, t->options.greeting_ms);
	(void)uv_read_start((uv_stream_t *)&t->tcp, on_alloc, on_read);
	len = proxy_header(t->options.header, &t->options.client,
			   &t->options.address, header, sizeof(header));
	mta_talk_send(t, header, len);
	tell(t, &news);
}

static void
on_closed(uv_handle_t *handle)
{
	struct mta_talk *t = handle->data;

	if (--t->open_handles == 0)
		free(t);
}

int
mta_talk_open(struct mta_talk **out, uv_loop_t *loop,
	      const struct mta_talk_options *options, mta_talk_fn *tell_fn,
	      void *ctx)
{
	struct mta_talk *t = calloc(1, sizeof(*t));
	struct sockaddr_storage sa;
	int rc;

	*out = NULL;
	if (t == NULL)
		return -ENOMEM;
	t->options = *options;
	t->tell = tell_fn;
	t->ctx = ctx;
	t->opened_ms = uv_now(loop);
	(void)uv_tcp_init(loop, &t->tcp); /* cannot fail without a socket */
	(void)uv_timer_init(loop, &t->timer);
	t->tcp.data = t->timer.data = t;
	t->open_handles = 2;
	(void)uv_tcp_nodelay(&t->tcp, 1);
	(void)sockaddr_set(&sa, &options->address);
	go(t, STEP_DIAL, options->connect_timeout_ms);
	rc = uv_tcp_connect(&t->connect, &t->tcp, (const struct sockaddr *)&sa,
			    on_connect);
	if (rc != 0) {
		/* Told as any other failure, and not from within this call. */
		t->error = rc;
		go(t, STEP_DIAL, 0);
	}
	*out = t;
	return 0;
}

void
mta_talk_send(struct mta_talk *t, const void *bytes, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);

	if (len == 0 || t->error != 0)
		return;
	/* A fresh connection takes some kilobytes at once. */
	if (uv_try_write((uv_stream_t *)&t->tcp, &buf, 1) == (int)len)
		return;
	t->error = UV_EPIPE;
	(void)uv_timer_start(&t->timer, on_time, 0, 0);
}

void
mta_talk_say(struct mta_talk *t, const char *text, uint32_t ms)
{
	begin(t, STEP_REPLY, ms);
	mta_talk_send(t, text, strlen(text));
}

void
mta_talk_listen(struct mta_talk *t, uint32_t ms)
{
	begin(t, STEP_QUIET, ms);
}

void
mta_talk_raw(struct mta_talk *t, uint32_t ms)
{
	begin(t, STEP_RAW, ms);
}

const struct addr *
mta_talk_self(const struct mta_talk *t)
{
	return &t->self;
}

uint32_t
mta_talk_age(const struct mta_talk *t)
{
	return (uint32_t)(uv_now(t->timer.loop) - t->opened_ms);
}

void
mta_talk_close(struct mta_talk *t)
{
	if (t == NULL || t->is_closed)
		return;
	t->is_closed = true;
	uv_close((uv_handle_t *)&t->tcp, on_closed);
	uv_close((uv_handle_t *)&t->timer, on_closed);
}
