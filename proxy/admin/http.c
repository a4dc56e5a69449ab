/*
 * See http.h. libmicrohttpd with its epoll descriptor under our loop: one
 * thread, no locks.
 *
 * A browser that visits a hostile page can be made to ask a server on
 * 127.0.0.1 by a name that the page's owner controls (DNS rebinding). So a
 * server that is bound to a loopback address answers only where the Host
 * header is an address or `localhost`. One that was bound to any other
 * address can be read by that network anyway, under whatever name.
 */
#include "proxy/admin/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/admin/accept.h"
#include "proxy/admin/http_assets.h"
#include "proxy/daemon/log.h"

#define MEMORY_PER_CONNECTION (16u * 1024u)
#define WHY_CAP 512
#define FULL_AGAIN_MS 100u

/* The page and what it is made of come from here, and from nowhere else. */
#define PAGE_POLICY                                                            \
	"default-src 'none'; script-src 'self'; style-src 'self'; "            \
	"connect-src 'self'; img-src 'self' data:; base-uri 'none'; "          \
	"form-action 'none'; frame-ancestors 'none'"

/* An answer that serves all who ask within its age. */
struct http_kept {
	struct MHD_Response *response; /* or NULL */
	uint64_t made_ms;
};

struct http {
	uv_poll_t poll;
	uv_timer_t timer;
	struct MHD_Daemon *daemon;
	struct http_source source;
	struct http_kept metrics[METRICS_FORMS];
	struct http_kept api[HTTP_API_COUNT];
	uint64_t spent_ms; /* 1 / HTTP_PER_SECOND s an answer, up to here */
	bool is_loopback;
	int open_handles;
};

static const char page_text[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Tarry</title>\n"
    "<h1>Tarry " TARRY_VERSION "</h1>\n"
    "<p><a href=/metrics>/metrics</a> numbers for Prometheus\n"
    "<p><a href=/healthz>/healthz</a> the process answers\n"
    "<p><a href=/readyz>/readyz</a> mail can flow; if not, why not\n";

static enum MHD_Result
send_response(struct MHD_Connection *c, unsigned status, const char *type,
	      struct MHD_Response *r)
{
	if (r == NULL)
		return MHD_NO;
	if (type != NULL) {
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
		MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
		MHD_add_response_header(r, "Content-Security-Policy",
					"default-src 'none'");
		MHD_add_response_header(r, "Cache-Control", "no-store");
	}
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (status == MHD_HTTP_TOO_MANY_REQUESTS)
		MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return MHD_queue_response(c, status, r);
}

static enum MHD_Result
send_text(struct MHD_Connection *c, unsigned status, const char *text)
{
	/* The library only reads what it is to copy. */
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result rc =
	    send_response(c, status, "text/plain; charset=utf-8", r);

	if (r != NULL)
		MHD_destroy_response(r);
	return rc;
}

static bool
takes_gzip(struct MHD_Connection *c)
{
	const char *accepted = MHD_lookup_connection_value(
	    c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT_ENCODING);

	return accepted != NULL && strstr(accepted, "gzip") != NULL;
}

static enum MHD_Result
send_asset(struct MHD_Connection *c, const struct http_asset *asset)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    asset->len, (void *)(uintptr_t)asset->gzip, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result rc;

	if (r == NULL)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, asset->type);
	MHD_add_response_header(r, "Content-Security-Policy", PAGE_POLICY);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(r, "Cache-Control", "no-cache");
	rc = MHD_queue_response(c, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return rc;
}

/* For who cannot unpack the dashboard. */
static enum MHD_Result
send_plain_page(struct MHD_Connection *c)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
	    sizeof page_text - 1, (void *)(uintptr_t)page_text,
	    MHD_RESPMEM_PERSISTENT);
	enum MHD_Result rc =
	    send_response(c, MHD_HTTP_OK, "text/html; charset=utf-8", r);

	if (r != NULL)
		MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result
send_health(struct http *h, struct MHD_Connection *c)
{
	(void)h;
	return send_text(c, MHD_HTTP_OK, "ok\n");
}

static enum MHD_Result
send_ready(struct http *h, struct MHD_Connection *c)
{
	char why[WHY_CAP + 1];

	if (h->source.is_ready(h->source.ctx, why, WHY_CAP))
		return send_text(c, MHD_HTTP_OK, "ready\n");
	strcat(why, "\n");
	return send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

/* True if the last one is young enough. */
static bool
is_fresh(const struct http *h, const struct http_kept *kept, uint64_t age_ms)
{
	return kept->response != NULL &&
	       uv_now(h->poll.loop) - kept->made_ms < age_ms;
}

/* Takes over `r`, which may be NULL: then what there was stays. */
static void
keep(struct http *h, struct http_kept *kept, struct MHD_Response *r,
     const char *type)
{
	if (r == NULL)
		return;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	if (kept->response != NULL)
		MHD_destroy_response(kept->response);
	kept->response = r;
	kept->made_ms = uv_now(h->poll.loop);
}

static struct MHD_Response *
response_of(char *text, size_t len)
{
	struct MHD_Response *r =
	    MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);

	if (r == NULL)
		free(text);
	return r;
}

/* Makes the page of metrics, if the last one is too old. */
static void
renew_metrics(struct http *h, enum metrics_form form)
{
	static const char *const types[METRICS_FORMS] = {
	    [METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	    [METRICS_OPEN] = "application/openmetrics-text; version=1.0.0; "
			     "charset=utf-8",
	};
	struct http_kept *kept = &h->metrics[form];
	struct metrics_page page = {0};
	struct metrics_text text = {0};
	struct MHD_Response *r;

	if (is_fresh(h, kept, HTTP_METRICS_AGE_MS))
		return;
	h->source.fill(h->source.ctx, &page);
	metrics_print(&page, form, &text);
	if (text.error != 0) {
		free(text.text);
		return;
	}
	r = response_of(text.text, text.len);
	if (r != NULL)
		MHD_add_response_header(r, MHD_HTTP_HEADER_VARY,
					MHD_HTTP_HEADER_ACCEPT);
	keep(h, kept, r, types[form]);
}

static enum MHD_Result
send_metrics(struct http *h, struct MHD_Connection *c)
{
	enum metrics_form form = accept_form(MHD_lookup_connection_value(
	    c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));

	renew_metrics(h, form);
	return send_response(c, MHD_HTTP_OK, NULL, h->metrics[form].response);
}

static const char *const api_paths[HTTP_API_COUNT] = {
    [HTTP_API_SUMMARY] = "/api/v1/summary",
    [HTTP_API_HOUR] = "/api/v1/history/1h",
    [HTTP_API_QUARTER] = "/api/v1/history/6h",
    [HTTP_API_DAY] = "/api/v1/history/24h",
    [HTTP_API_MONTH] = "/api/v1/history/30d",
    [HTTP_API_YEAR] = "/api/v1/history/1y",
    [HTTP_API_SIGNATURES] = "/api/v1/signatures",
    [HTTP_API_SESSIONS] = "/api/v1/sessions",
    [HTTP_API_EFFECT] = "/api/v1/effect",
};

static enum MHD_Result
send_api(struct http *h, struct MHD_Connection *c, enum http_api what)
{
	struct http_kept *kept = &h->api[what];
	char *text;

	if (!is_fresh(h, kept, HTTP_API_AGE_MS)) {
		text = h->source.api(h->source.ctx, what);
		if (text != NULL)
			keep(h, kept, response_of(text, strlen(text)),
			     "application/json");
	}
	return send_response(c, MHD_HTTP_OK, NULL, kept->response);
}

/* What takes work: counted, so that asking cannot keep the loop busy. */
static enum MHD_Result
send_other(struct http *h, struct MHD_Connection *c, const char *url)
{
	const struct http_asset *asset = http_asset_find(url);

	for (unsigned i = 0; i < HTTP_API_COUNT; i++) {
		if (strcmp(url, api_paths[i]) == 0)
			return send_api(h, c, (enum http_api)i);
	}
	if (strcmp(url, "/metrics") == 0)
		return send_metrics(h, c);
	if (asset != NULL && takes_gzip(c))
		return send_asset(c, asset);
	if (strcmp(url, "/") == 0)
		return send_plain_page(c);
	if (asset != NULL)
		return send_text(c, MHD_HTTP_NOT_ACCEPTABLE,
				 "this file is sent as gzip alone\n");
	return send_text(c, MHD_HTTP_NOT_FOUND, "no such page; see /\n");
}

/* A bucket of HTTP_PER_SECOND answers that fills in a second. */
static bool
may_answer(struct http *h)
{
	uint64_t now = uv_now(h->poll.loop);

	if (h->spent_ms + 1000 < now)
		h->spent_ms = now - 1000;
	if (h->spent_ms + 1000 / HTTP_PER_SECOND > now)
		return false;
	h->spent_ms += 1000 / HTTP_PER_SECOND;
	return true;
}

static const struct {
	const char *path;
	enum MHD_Result (*send)(struct http *h, struct MHD_Connection *c);
} routes[] = {
    {"/healthz", send_health},
    {"/readyz", send_ready},
};

/* True for nothing, or a colon and digits. */
static bool
is_port(const char *text)
{
	return text[0] == '\0' ||
	       (text[0] == ':' &&
		text[1 + strspn(text + 1, "0123456789")] == '\0');
}

/* True for an address, [address] or localhost, with or without a port. */
static bool
is_local_host(const char *host)
{
	bool has_bracket = host[0] == '[';
	const char *name = host + has_bracket;
	size_t len = strcspn(name, has_bracket ? "]" : ":");
	struct addr a;

	if (has_bracket && name[len] != ']')
		return false;
	if (!is_port(name + len + has_bracket))
		return false;
	if (len == strlen("localhost") && strncmp(name, "localhost", len) == 0)
		return true;
	return addr_parse_ip(&a, name, len);
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *c, const char *url,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_len, void **request)
{
	static char seen; /* its address marks a request whose head was read */
	struct http *h = ctx;
	const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_HOST);

	(void)version;
	(void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_text(c, MHD_HTTP_METHOD_NOT_ALLOWED,
				 "only GET and HEAD\n");
	if (*request == NULL) {
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_len > 0) {
		*upload_len = 0; /* a body is read and forgotten */
		return MHD_YES;
	}
	if (h->is_loopback && host != NULL && !is_local_host(host))
		return send_text(c, MHD_HTTP_FORBIDDEN,
				 "ask for localhost or an address\n");
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		if (strcmp(url, routes[i].path) == 0)
			return routes[i].send(h, c);
	}
	if (!may_answer(h))
		return send_text(c, MHD_HTTP_TOO_MANY_REQUESTS,
				 "too many questions; ask again in a second\n");
	return send_other(h, c, url);
}

static unsigned
count_connections(struct http *h)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info != NULL ? info->num_connections : 0;
}

/*
 * Lets the library work, and asks when it wants to be called again. With all
 * places taken it stops listening, and it begins again only in the call after
 * the one in which a place became free: of that one it tells nobody.
 */
static void
on_timer(uv_timer_t *timer)
{
	struct http *h = timer->data;
	bool was_full = count_connections(h) >= HTTP_CONNECTIONS;
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	bool has_timeout;

	MHD_run(h->daemon);
	has_timeout = MHD_get_timeout(h->daemon, &timeout_ms) == MHD_YES;
	if (was_full && (!has_timeout || timeout_ms > FULL_AGAIN_MS)) {
		timeout_ms = FULL_AGAIN_MS;
		has_timeout = true;
	}
	if (has_timeout)
		uv_timer_start(timer, on_timer, timeout_ms, 0);
	else
		uv_timer_stop(timer);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct http *h = poll->data;

	(void)status; /* an error too is for the library to find */
	(void)events;
	on_timer(&h->timer);
}

static void
on_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	if (--h->open_handles == 0)
		free(h);
}

static socklen_t
to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (a->family == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(a->port);
		memcpy(&v4->sin_addr, a->ip + 12, 4);
		return sizeof *v4;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(a->port);
	memcpy(&v6->sin6_addr, a->ip, 16);
	return sizeof *v6;
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return 0;
	if (ss.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&ss)->sin_port);
	return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
}

/* A listening socket, or a negative errno. */
static int
open_listener(const struct addr *address)
{
	struct sockaddr_storage ss;
	socklen_t len = to_sockaddr(address, &ss);
	int on = 1;
	int fd =
	    socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    bind(fd, (struct sockaddr *)&ss, len) == 0 &&
	    listen(fd, HTTP_CONNECTIONS) == 0)
		return fd;
	on = -errno;
	close(fd);
	return on;
}

static void log_mhd(void *ctx, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void
log_mhd(void *ctx, const char *format, va_list args)
{
	/* What it says is about single clients: a flood, if a client likes. */
	(void)ctx;
	(void)format;
	(void)args;
}

static struct MHD_Daemon *
start_daemon(struct http *h, int fd)
{
	return MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
	    MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL, MHD_OPTION_LISTEN_SOCKET,
	    fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_TIMEOUT_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION,
	    MHD_OPTION_END);
}

static int
watch(struct http *h, uv_loop_t *loop)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int rc;

	if (info == NULL)
		return -EIO;
	rc = uv_poll_init(loop, &h->poll, info->epoll_fd);
	if (rc != 0)
		return rc;
	uv_timer_init(loop, &h->timer);
	h->poll.data = h;
	h->timer.data = h;
	h->open_handles = 2;
	return uv_poll_start(&h->poll, UV_READABLE, on_poll);
}

static bool
is_loopback(const struct addr *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return a->family == 4 ? a->ip[12] == 127 : memcmp(a->ip, v6, 16) == 0;
}

int
http_start(struct http **out, uv_loop_t *loop, const struct addr *address,
	   const struct http_source *source, struct addr *bound)
{
	struct http *h = calloc(1, sizeof *h);
	int fd;
	int rc;

	*out = NULL;
	if (h == NULL)
		return -ENOMEM;
	h->source = *source;
	h->is_loopback = is_loopback(address);
	fd = open_listener(address);
	if (fd < 0) {
		rc = fd;
		goto free_http;
	}
	*bound = *address;
	bound->port = port_of(fd);
	h->daemon = start_daemon(h, fd);
	if (h->daemon == NULL) {
		rc = -ENOMEM;
		close(fd);
		goto free_http;
	}
	rc = watch(h, loop);
	if (rc != 0)
		goto stop_daemon;
	*out = h;
	return 0;

stop_daemon:
	if (h->open_handles > 0) {
		http_stop(h);
		return rc;
	}
	MHD_stop_daemon(h->daemon);
free_http:
	free(h);
	return rc;
}

void
http_stop(struct http *h)
{
	if (h == NULL)
		return;
	uv_close((uv_handle_t *)&h->poll, on_closed);
	uv_close((uv_handle_t *)&h->timer, on_closed);
	MHD_stop_daemon(h->daemon);
	for (unsigned i = 0; i < METRICS_FORMS; i++) {
		if (h->metrics[i].response != NULL)
			MHD_destroy_response(h->metrics[i].response);
	}
	for (unsigned i = 0; i < HTTP_API_COUNT; i++) {
		if (h->api[i].response != NULL)
			MHD_destroy_response(h->api[i].response);
	}
}
