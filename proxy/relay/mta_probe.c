/*
 * One attempt is one socket: a row of steps, each of which waits for one
 * reply, for silence or for the end. The next attempt begins when the handle
 * of the last one is closed.
 */
#include "proxy/relay/mta_probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/daemon/log.h"
#include "proxy/relay/container_of.h"
#include "proxy/relay/mta_probe_text.h"
#include "proxy/relay/sockaddr.h"
#include "tarry/session.h"

#define SILENCE_MS 1000
#define REPLY_MS 30000
#define RETRY_FIRST_MS 1000
#define RETRY_MOST_MS 30000
#define SEEN_CAP 4096
#define WHY_CAP 300

enum probe_step {
	PROBE_RESTING, /* no socket, or one that is closing */
	PROBE_CONNECTING,
	PROBE_GREETING,
	PROBE_SILENCE,
	PROBE_EHLO,
	PROBE_EHLO_AGAIN, /* as after a STARTTLS that ends here */
	PROBE_QUIT,
	PROBE_BYE /* nothing more may come */
};

struct mta_probe {
	struct config_mta mta;
	bool ends_tls; /* so that clients will say EHLO twice */
	bool wants_starttls;
	bool has_starttls;
	mta_probe_fn *tell;
	void *ctx;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_tcp_t tcp;
	uv_connect_t connect;
	unsigned open_handles;
	bool has_socket; /* opened, not yet closing */
	bool is_stopping;
	bool has_passed;
	enum probe_step step;
	struct addr self; /* our end of the socket, once it is connected */
	uint32_t retry_ms;
	struct smtp_reply reply;
	size_t seen_len;
	size_t reply_at; /* where the reply under way begins in `seen` */
	char seen[SEEN_CAP];
	char name[SESSION_NAME_CAP + 1];
	bool pipeconnect;
	bool refuses_second_ehlo;
	char why[WHY_CAP];
	char why_said[WHY_CAP];
};

static void begin(struct mta_probe *p);

static void
on_retry(uv_timer_t *timer)
{
	begin(container_of(timer, struct mta_probe, timer));
}

static void
on_closed(uv_handle_t *handle)
{
	struct mta_probe *p = handle->data;

	if (--p->open_handles == 0) {
		free(p);
		return;
	}
	if (p->is_stopping || p->has_passed)
		return;
	(void)uv_timer_start(&p->timer, on_retry, p->retry_ms, 0);
	p->retry_ms *= 2;
	if (p->retry_ms > RETRY_MOST_MS)
		p->retry_ms = RETRY_MOST_MS;
}

static void
close_socket(struct mta_probe *p)
{
	p->step = PROBE_RESTING;
	(void)uv_timer_stop(&p->timer);
	if (!p->has_socket)
		return;
	p->has_socket = false;
	uv_close((uv_handle_t *)&p->tcp, on_closed);
}

static void
tell(struct mta_probe *p)
{
	const struct worker_mta mta = {
	    .is_ready = p->has_passed,
	    .pipeconnect = p->has_passed && p->pipeconnect,
	    .refuses_second_ehlo = p->refuses_second_ehlo,
	    .name = p->has_passed && p->name[0] != '\0' ? p->name : NULL,
	};

	p->tell(p->ctx, &mta, p->why);
}

/* A failure is said once, and again when it has become another one. */
static void
say_failure(struct mta_probe *p)
{
	if (strcmp(p->why, p->why_said) == 0)
		return;
	memcpy(p->why_said, p->why, sizeof(p->why_said));
	mta_probe_say_failure(
	    &p->mta, p->step != PROBE_CONNECTING ? &p->self : NULL, p->why);
}

__attribute__((format(printf, 2, 3))) static void
fail(struct mta_probe *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(p->why, sizeof(p->why), format, args);
	va_end(args);
	say_failure(p);
	close_socket(p);
	tell(p);
}

static void
pass(struct mta_probe *p)
{
	char address[ADDR_TEXT_CAP];

	p->has_passed = true;
	p->why[0] = '\0';
	(void)addr_text(&p->mta.address, address, sizeof(address));
	log_say(LOG_LEVEL_INFO,
		"the MTA at %s passed the test session; it greets as %s%s",
		address, p->name[0] != '\0' ? p->name : "(no usable name)",
		p->pipeconnect ? " and offers PIPECONNECT" : "");
	if (p->refuses_second_ehlo)
		log_say(LOG_LEVEL_ERROR,
			"the MTA refuses a second EHLO in a session, so "
			"STARTTLS cannot end here: it is left to the MTA; set "
			"[tls] mode = pass, [listen] tls = implicit, or "
			"[mta] tls = starttls");
	if (p->wants_starttls && !p->has_starttls)
		log_say(LOG_LEVEL_ERROR,
			"the MTA does not offer STARTTLS, so that nobody is "
			"offered it: [mta] has tls = starttls; switch it on in "
			"the MTA, or set tls = none");
	close_socket(p);
	tell(p);
}

static void
send_text(struct mta_probe *p, const char *text, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)len);
	int r = uv_try_write((uv_stream_t *)&p->tcp, &buf, 1);

	/* A fresh connection takes some hundred bytes at once. */
	if (r != (int)len)
		fail(p, "it closed the connection before we were done");
}

static void on_time(uv_timer_t *timer);

static void
go(struct mta_probe *p, enum probe_step step, uint64_t ms)
{
	p->step = step;
	memset(&p->reply, 0, sizeof(p->reply));
	p->reply_at = p->seen_len;
	(void)uv_timer_start(&p->timer, on_time, ms, 0);
}

static void
say_ehlo(struct mta_probe *p, enum probe_step step)
{
	char host[128] = "localhost";
	char text[160];
	int len;

	(void)gethostname(host, sizeof(host) - 1);
	len = snprintf(text, sizeof(text), "EHLO %s\r\n", host);
	go(p, step, REPLY_MS);
	send_text(p, text, (size_t)len); /* < sizeof(text) */
}

static void
say_quit(struct mta_probe *p)
{
	go(p, PROBE_QUIT, REPLY_MS);
	send_text(p, "QUIT\r\n", 6);
}

static void
on_time(uv_timer_t *timer)
{
	struct mta_probe *p = container_of(timer, struct mta_probe, timer);

	switch (p->step) {
	case PROBE_RESTING:
		break;
	case PROBE_CONNECTING:
		fail(p, "cannot connect: no answer within %u ms",
		     (unsigned)p->mta.connect_timeout_ms);
		break;
	case PROBE_GREETING:
	case PROBE_EHLO:
	case PROBE_EHLO_AGAIN:
	case PROBE_QUIT:
		fail(p, "no %s within %d s",
		     mta_probe_step_name(p->step - PROBE_GREETING),
		     REPLY_MS / 1000);
		break;
	case PROBE_SILENCE:
		say_ehlo(p, PROBE_EHLO);
		break;
	case PROBE_BYE:
		pass(p);
		break;
	}
}

static void
got_reply(struct mta_probe *p)
{
	const char *text = p->seen + p->reply_at;
	size_t len = p->seen_len - p->reply_at;
	uint16_t code = p->reply.code;

	if (p->step == PROBE_GREETING && code == 220) {
		mta_probe_name(text, len, p->name, sizeof(p->name));
		go(p, PROBE_SILENCE, SILENCE_MS);
	} else if (p->step == PROBE_EHLO && code != 421) {
		p->pipeconnect =
		    mta_probe_has_keyword(text, len, "PIPECONNECT");
		p->has_starttls = mta_probe_has_keyword(text, len, "STARTTLS");
		if (p->ends_tls && code == 250)
			say_ehlo(p, PROBE_EHLO_AGAIN);
		else
			say_quit(p);
	} else if (p->step == PROBE_EHLO_AGAIN && code != 421) {
		p->refuses_second_ehlo = code != 250;
		say_quit(p);
	} else if (p->step == PROBE_QUIT && code == 221) {
		go(p, PROBE_BYE, SILENCE_MS);
	} else {
		fail(p, "its %s was: %.*s",
		     mta_probe_step_name(p->step - PROBE_GREETING),
		     (int)mta_probe_line(text, len), text);
	}
}

static void
got_bytes(struct mta_probe *p, size_t n)
{
	const uint8_t *bytes = (const uint8_t *)p->seen + p->seen_len;
	size_t used = 0;
	enum smtp_reply_event r;

	if (p->step == PROBE_SILENCE || p->step == PROBE_BYE) {
		fail(p, "it said more than it was asked for: %.*s",
		     (int)mta_probe_line((const char *)bytes, n),
		     (const char *)bytes);
		return;
	}
	r = smtp_reply_read(&p->reply, bytes, n, &used);
	p->seen_len += used;
	if (r == SMTP_REPLY_LOST) {
		fail(p, "this is no SMTP reply: %.*s",
		     (int)mta_probe_line(p->seen + p->reply_at,
					 p->seen_len + n - used - p->reply_at),
		     p->seen + p->reply_at);
		return;
	}
	if (r == SMTP_REPLY_DONE)
		got_reply(p);
	if (p->step != PROBE_RESTING && used < n)
		got_bytes(p, n - used);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct mta_probe *p = handle->data;

	(void)suggested;
	*buf = uv_buf_init(p->seen + p->seen_len,
			   (unsigned)(SEEN_CAP - p->seen_len));
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct mta_probe *p = stream->data;

	(void)buf;
	if (nread == 0 || p->step == PROBE_RESTING)
		return;
	if (nread > 0)
		got_bytes(p, (size_t)nread);
	else if (nread == UV_EOF && p->step == PROBE_BYE)
		pass(p);
	else if (nread == UV_ENOBUFS)
		fail(p, "its answers are longer than %d bytes", SEEN_CAP);
	else
		fail(p, "it closed the connection in place of its %s",
		     mta_probe_step_name(p->step - PROBE_GREETING));
}

static void
on_connect(uv_connect_t *request, int status)
{
	struct mta_probe *p = container_of(request, struct mta_probe, connect);
	const struct config_mta *mta = &p->mta;
	struct sockaddr_storage sa;
	int sa_len = sizeof(sa);
	char text[SESSION_SAY_CAP];
	size_t len;

	if (p->step != PROBE_CONNECTING)
		return;
	if (status == 0)
		status = uv_tcp_getsockname(&p->tcp, (struct sockaddr *)&sa,
					    &sa_len);
	if (status != 0) {
		fail(p, "cannot connect: %s", uv_strerror(status));
		return;
	}
	sockaddr_get(&p->self, &sa);
	go(p, PROBE_GREETING, REPLY_MS);
	(void)uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
	len = proxy_header(mta->client_address, &p->self, &mta->address, text,
			   sizeof(text));
	if (len > 0)
		send_text(p, text, len);
}

static void
begin(struct mta_probe *p)
{
	struct sockaddr_storage sa;
	int error;

	(void)sockaddr_set(&sa, &p->mta.address);
	p->seen_len = 0;
	p->pipeconnect = false;
	p->refuses_second_ehlo = false;
	p->name[0] = '\0';
	(void)uv_tcp_init(p->loop, &p->tcp); /* cannot fail without a socket */
	(void)uv_tcp_nodelay(&p->tcp, 1);
	p->tcp.data = p;
	p->open_handles++;
	p->has_socket = true;
	go(p, PROBE_CONNECTING, p->mta.connect_timeout_ms);
	error = uv_tcp_connect(&p->connect, &p->tcp,
			       (const struct sockaddr *)&sa, on_connect);
	if (error != 0)
		fail(p, "cannot connect: %s", uv_strerror(error));
}

int
mta_probe_start(struct mta_probe **out, uv_loop_t *loop,
		const struct config *config, mta_probe_fn *tell_fn, void *ctx)
{
	struct mta_probe *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (p == NULL)
		return -ENOMEM;
	p->mta = config->mta;
	p->wants_starttls = config->mta.tls == CONFIG_MTA_STARTTLS;
	p->ends_tls =
	    config->tls.mode == CONFIG_TLS_TERMINATE && !p->wants_starttls;
	p->tell = tell_fn;
	p->ctx = ctx;
	p->loop = loop;
	p->retry_ms = RETRY_FIRST_MS;
	(void)uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	p->open_handles = 1;
	/* Not before the caller has what it needs to be told. */
	(void)uv_timer_start(&p->timer, on_retry, 0, 0);
	*out = p;
	return 0;
}

void
mta_probe_stop(struct mta_probe *p)
{
	if (p == NULL || p->is_stopping)
		return;
	p->is_stopping = true;
	close_socket(p);
	uv_close((uv_handle_t *)&p->timer, on_closed);
}
