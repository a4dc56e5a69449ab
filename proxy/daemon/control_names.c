/* Asking the DNS: the main thread's end. */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdlib.h>

static void
wake_worker(void *ctx, uint32_t worker)
{
	const struct control *c = ctx;

	if (worker < c->workers_count)
		worker_wake(c->workers[worker]);
}

static void
say_dns(void *ctx, const char *message)
{
	(void)ctx;
	log_say(LOG_LEVEL_WARNING, "%s", message);
}

static void
count_time(void *ctx, uint64_t ms)
{
	const struct control *c = ctx;

	metrics_time(&c->metrics[c->settings.config->workers],
		     METRIC_HISTOGRAM_DNS_LOOKUP, ms * 1000);
}

static int
take_feeds(struct control *c, uint32_t count)
{
	c->names_asked.feeds = aligned_alloc(_Alignof(struct name_feed),
					     count * sizeof(struct name_feed));
	if (c->names_asked.feeds == NULL)
		return -ENOMEM;
	/* Most of a ring is never touched where nobody is asked. */
	for (uint32_t i = 0; i < count; i++) {
		c->names_asked.feeds[i].asks = (struct name_ring){0};
		c->names_asked.feeds[i].answers = (struct name_ring){0};
	}
	return 0;
}

int
control_open_names(struct control *c)
{
	struct dns_options options = {
	    .feeds_count = c->settings.config->workers,
	    .wake = wake_worker,
	    .say = say_dns,
	    .took = count_time,
	    .ctx = c,
	};
	int rc = take_feeds(c, options.feeds_count);

	if (rc != 0)
		return rc;
	options.feeds = c->names_asked.feeds;
	rc = dns_open(&c->names_asked.dns, &c->loop, &options);
	if (rc == 0)
		control_set_names(c);
	return rc;
}

void
control_set_names(struct control *c)
{
	int rc = dns_set(c->names_asked.dns, &c->settings.config->dns,
			 ++c->names_asked.epoch);

	/* Mail goes on without. */
	if (rc != 0)
		log_say(LOG_LEVEL_ERROR, "no list is asked: the resolver: %s",
			uv_strerror(rc));
}

void
control_fill_names(const struct control *c, double values[METRIC_VALUE_COUNT])
{
	struct dns_counts n;

	dns_count(c->names_asked.dns, &n);
	values[METRIC_VALUE_DNS_FLYING] = n.flying;
	values[METRIC_VALUE_DNS_WAITING] = n.waiting;
	values[METRIC_VALUE_DNS_SENT] = (double)n.sent;
	values[METRIC_VALUE_DNS_HITS] = (double)n.hits;
	values[METRIC_VALUE_DNS_JOINED] = (double)n.joined;
	values[METRIC_VALUE_DNS_CROWDED] = (double)n.crowded;
	values[METRIC_VALUE_DNS_LATE] = (double)n.late;
	for (unsigned i = 0; i < DNS_KINDS; i++)
		values[METRIC_VALUE_DNS_LISTED + i] = (double)n.kinds[i];
	for (uint32_t i = 0;
	     c->names_asked.feeds != NULL && i < c->settings.config->workers;
	     i++)
		values[METRIC_VALUE_DNS_UNHEARD] +=
		    (double)name_feed_dropped(&c->names_asked.feeds[i]);
}

void
control_free_names(struct control *c)
{
	free(c->names_asked.feeds);
}
