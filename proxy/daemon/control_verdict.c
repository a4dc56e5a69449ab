/*
 * Verdicts: workers tell which sessions there are, the socket takes lines,
 * the book says whose they are.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/admin/socket_file.h"

#define LINES_A_SECOND 50u

static uint64_t
unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
take_sessions(struct control *c)
{
	struct session_item item;
	uint64_t now_ms = unix_ms();

	for (uint32_t i = 0; i < c->settings.config->workers; i++)
		while (session_feed_take(&c->verdict.feeds[i], &item))
			verdict_book_note(c->verdict.book, &item, now_ms);
}

/* The metrics and the journal have them all, the log so many a second. */
static bool
may_say(struct control *c)
{
	uint64_t second = uv_now(&c->loop) / 1000;

	if (second != c->verdict.said_second) {
		c->verdict.said_second = second;
		c->verdict.said = 0;
	}
	return c->verdict.said++ < LINES_A_SECOND;
}

/* What is known of a session from behind the MTA: all uses of it are here. */
static void
tell(struct control *c, const struct verdict_line *line,
     const struct verdict_session *s)
{
	struct metrics *m = &c->metrics[c->settings.config->workers];
	char client[LOG_ADDRESS_CAP];

	metrics_add(
	    m,
	    (enum metric)(METRIC_VERDICT_HAM_OPERATOR +
			  (unsigned)line->verdict * VERDICT_SOURCE_COUNT +
			  (unsigned)line->source),
	    1);
	journal_verdict(c->journal, s->id, verdict_name(line->verdict),
			verdict_source_name(line->source));
	if (!may_say(c))
		return;
	log_address(&s->client, client);
	log_say(LOG_LEVEL_INFO,
		"verdict %s by %s: session %" PRIu64 ", client %s, class %s, "
		"rule %s",
		verdict_name(line->verdict), verdict_source_name(line->source),
		s->id, client,
		s->is_over ? names_class(c->names, s->class_id) : "-",
		s->is_over ? names_rule(c->names, s->rule_id) : "-");
}

static void
count(struct control *c, enum verdict_result result)
{
	struct metrics *m = &c->metrics[c->settings.config->workers];

	metrics_add(m, (enum metric)(METRIC_VERDICTS_JOINED + (unsigned)result),
		    1);
}

/* True if nothing more is to be done about the line. */
static bool
join(void *ctx, const struct verdict_line *line, bool is_last)
{
	struct control *c = ctx;
	struct verdict_session session;
	enum verdict_result result =
	    verdict_book_join(c->verdict.book, line, unix_ms(), &session);

	if (result == VERDICT_RESULT_UNKNOWN && !is_last)
		return false;
	if (result == VERDICT_RESULT_JOINED)
		tell(c, line, &session);
	count(c, result);
	return true;
}

static void
take_line(void *ctx, const char *bytes, size_t len)
{
	struct control *c = ctx;
	struct verdict_line line;
	bool is_client_named;

	if (verdict_line_read(&line, bytes, len) != NULL) {
		count(c, VERDICT_RESULT_MALFORMED);
		return;
	}
	take_sessions(c);
	is_client_named = line.client.family != 0;
	if (!join(c, &line, is_client_named) &&
	    !verdict_wait_put(c->verdict.wait, &line, unix_ms()))
		count(c, VERDICT_RESULT_UNKNOWN);
}

void
control_tick_verdicts(struct control *c)
{
	if (c->verdict.book == NULL)
		return;
	take_sessions(c);
	verdict_wait_try(c->verdict.wait, unix_ms(), join, c);
}

/* The rows of a session that the worker had counted. */
static void
learn(void *ctx, const struct learn *l)
{
	struct control *c = ctx;
	struct ledger_delta delta;

	reputation_change(&l->before, &l->after, &delta);
	memory_amend(c->memory, l->rows, &delta, uv_now(&c->loop));
	metrics_add(&c->metrics[c->settings.config->workers],
		    METRIC_VERDICTS_LEARNT, 1);
}

int
control_take_verdict_memory(struct control *c)
{
	const struct config *config = c->settings.config;

	if (config->verdict.socket[0] == '\0')
		return 0;
	/* Its members want lines of their own in the processor's cache. */
	c->verdict.feeds =
	    aligned_alloc(_Alignof(struct session_feed),
			  config->workers * sizeof(struct session_feed));
	c->verdict.book = verdict_book_new(config->verdict.sessions);
	c->verdict.wait = calloc(1, sizeof(*c->verdict.wait));
	if (c->verdict.feeds == NULL || c->verdict.book == NULL ||
	    c->verdict.wait == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->workers; i++)
		session_feed_init(&c->verdict.feeds[i]);
	return 0;
}

void
control_print_verdict_size(const struct control *c, FILE *out)
{
	const struct config *config = c->settings.config;

	if (c->verdict.book == NULL)
		return;
	fprintf(out,
		"verdicts: %" PRIu32 " sessions remembered, %.1f MiB with "
		"their queue ids; %.1f MiB of rings\n",
		config->verdict.sessions,
		(double)verdict_book_bytes(config->verdict.sessions) /
		    1048576.0,
		(double)(config->workers * sizeof(struct session_feed)) /
		    1048576.0);
}

int
control_open_verdicts(struct control *c)
{
	const char *path = c->settings.config->verdict.socket;
	int rc;

	if (c->verdict.book == NULL)
		return 0;
	if (c->memory != NULL)
		verdict_book_set_learner(c->verdict.book, learn, c);
	rc = verdict_socket_start(&c->verdict.socket, &c->loop, path, take_line,
				  c);
	if (rc == 0)
		log_say(LOG_LEVEL_INFO, "verdicts are taken on %s", path);
	else
		log_say(LOG_LEVEL_WARNING, "no verdicts are taken: %s: %s",
			path, socket_file_why(rc));
	/* Mail is worth more than what became of it. */
	return rc == -ENOMEM ? rc : 0;
}

void
control_free_verdicts(struct control *c)
{
	verdict_book_free(c->verdict.book);
	free(c->verdict.wait);
	free(c->verdict.feeds);
}
