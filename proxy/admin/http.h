/*
 * The HTTP server: /metrics, /healthz, /readyz, the dashboard at / and what
 * it reads under /api/v1/.
 *
 * GET and HEAD only, nothing can be changed by it. Runs on the main thread,
 * from its loop; workers know nothing of it, so that no client of it can
 * hurt mail. At most HTTP_CONNECTIONS clients, each with little memory and
 * little patience; and at most HTTP_PER_SECOND answers that take work, all
 * clients together: who asks for more gets 429. /healthz and /readyz are
 * answered always.
 */
#ifndef PROXY_ADMIN_HTTP_H
#define PROXY_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "proxy/admin/metrics.h"
#include "tarry/addr.h"

#define HTTP_CONNECTIONS 64
#define HTTP_TIMEOUT_S 15
#define HTTP_PER_SECOND 50
/* A page of metrics, or of JSON, is made anew after so long, not sooner. */
#define HTTP_METRICS_AGE_MS 250
#define HTTP_API_AGE_MS 1000

struct http;

/* What there is under /api/v1/; see http_api[] in http.c for the paths. */
enum http_api {
	HTTP_API_SUMMARY,
	HTTP_API_HOUR,
	HTTP_API_QUARTER, /* of a day */
	HTTP_API_DAY,
	HTTP_API_MONTH,
	HTTP_API_YEAR,
	HTTP_API_SIGNATURES,
	HTTP_API_SESSIONS,
	HTTP_API_EFFECT,
	HTTP_API_COUNT
};

/* Where the answers come from; called on the loop's thread. */
struct http_source {
	void *ctx;
	/* Fills everything of *page. */
	void (*fill)(void *ctx, struct metrics_page *page);
	/* True if mail can flow; else why not, in words, into why[0..cap). */
	bool (*is_ready)(void *ctx, char *why, size_t cap);
	/* A JSON text that is the caller's to free(); NULL: no memory. */
	char *(*api)(void *ctx, enum http_api what);
};

/*
 * Listens on `address` (port 0: any; *bound says which) and serves from
 * `loop`. Returns 0 with *out owned by the caller, or a negative errno. The
 * source is copied.
 */
__attribute__((warn_unused_result)) int
http_start(struct http **out, uv_loop_t *loop, const struct addr *address,
	   const struct http_source *source, struct addr *bound);

/*
 * Closes all connections and stops. The memory is freed by the loop, a turn
 * later. NULL is fine.
 */
void http_stop(struct http *h);

#endif
