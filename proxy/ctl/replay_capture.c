/*
 * The SYNs of a capture: which class a first plan would give each. Of a
 * client there is nothing else, so this is where sessions begin, no more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/ctl/capture_file.h"
#include "proxy/ctl/replay.h"
#include "proxy/ctl/syn_facts.h"

#define ROWS_CAP 200
/* Copies of one SYN are told by a table of the last ones. */
#define SEEN_COUNT 65536u

struct row {
	struct replay_plan before;
	struct replay_plan after;
	uint64_t syns;
};

struct capture {
	const struct config *rules;
	const struct config *against;
	struct labels *labels;
	struct row rows[ROWS_CAP];
	size_t rows_count;
	uint64_t more;
	uint64_t syns;
	uint64_t copies;
	uint64_t malformed;
	uint32_t seen[SEEN_COUNT];
};

static bool
is_copy(struct capture *c, const struct syn *s)
{
	const uint32_t key[] = {s->isn, s->src.port, s->dst.port};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(s->src.ip); i++)
		hash = (hash ^ s->src.ip[i]) * 16777619u;
	for (size_t i = 0; i < 3; i++)
		hash = (hash ^ key[i]) * 16777619u;
	hash |= 1; /* 0: free */
	if (c->seen[hash / 2 % SEEN_COUNT] == hash)
		return true;
	c->seen[hash / 2 % SEEN_COUNT] = hash;
	return false;
}

static void
count(struct capture *c, const struct replay_plan *before,
      const struct replay_plan *after)
{
	for (size_t i = 0; i < c->rows_count; i++) {
		struct row *row = &c->rows[i];

		if (memcmp(&row->before, before, sizeof(*before)) == 0 &&
		    memcmp(&row->after, after, sizeof(*after)) == 0) {
			row->syns++;
			return;
		}
	}
	if (c->rows_count == ROWS_CAP) {
		c->more++;
		return;
	}
	c->rows[c->rows_count++] =
	    (struct row){.before = *before, .after = *after, .syns = 1};
}

static void
take_packet(void *ctx, const uint8_t *ip, size_t len)
{
	struct replay_plan before = {0};
	struct replay_plan after = {0};
	enum label_quality quality;
	struct capture *c = ctx;
	struct evidence e;
	struct plan plan;
	struct syn s;
	const int used = syn_parse(&s, ip, len);

	if (used <= 0) {
		c->malformed +=
		    used != SYN_BAD_NOT_SYN && used != SYN_BAD_NOT_TCP &&
		    used != SYN_BAD_VERSION && used != SYN_BAD_EMPTY;
		return;
	}
	if (is_copy(c, &s)) {
		c->copies++;
		return;
	}
	c->syns++;
	syn_facts_gather(c->labels, &s, true, &e, &quality);
	plan = plan_make(&c->rules->policy, &e, NULL, NULL);
	replay_plan_of(&after, &c->rules->policy, &plan);
	if (c->against != NULL) {
		plan = plan_make(&c->against->policy, &e, NULL, NULL);
		replay_plan_of(&before, &c->against->policy, &plan);
	}
	count(c, &before, &after);
}

bool
replay_is_capture(const char *path)
{
	static const uint8_t magics[][4] = {
	    {0xa1, 0xb2, 0xc3, 0xd4}, {0xd4, 0xc3, 0xb2, 0xa1},
	    {0xa1, 0xb2, 0x3c, 0x4d}, {0x4d, 0x3c, 0xb2, 0xa1},
	    {0x0a, 0x0d, 0x0d, 0x0a},
	};
	FILE *in = strcmp(path, "-") != 0 ? fopen(path, "re") : NULL;
	uint8_t first[4] = {0};
	bool is_it = false;

	if (in == NULL)
		return false;
	(void)!fread(first, 1, sizeof(first), in);
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		is_it = is_it || memcmp(first, magics[i], 4) == 0;
	(void)fclose(in);
	return is_it;
}

static void
show_row(const struct capture *c, const struct row *row, bool is_json)
{
	const char(*a)[REPLAY_TEXT_CAP] = row->before.texts;
	const char(*b)[REPLAY_TEXT_CAP] = row->after.texts;
	json_t *json;

	if (!is_json) {
		printf("  %6llu  ", (unsigned long long)row->syns);
		if (c->against != NULL)
			printf("%s (%s) -> ", a[REPLAY_CLASS], a[REPLAY_RULE]);
		printf("%s (%s)\n", b[REPLAY_CLASS], b[REPLAY_RULE]);
		return;
	}
	json = json_pack("{sI ss ss}", "syns", (json_int_t)row->syns, "class",
			 b[REPLAY_CLASS], "rule", b[REPLAY_RULE]);
	if (c->against != NULL)
		json_object_set_new(json, "against",
				    json_pack("{ss ss}", "class",
					      a[REPLAY_CLASS], "rule",
					      a[REPLAY_RULE]));
	(void)json_dumpf(json, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(json);
}

static void
show(const struct capture *c, const char *path, bool is_json)
{
	if (!is_json)
		printf("%llu SYNs: the class that a first plan would give "
		       "each, of which only the SYN is known\n",
		       (unsigned long long)c->syns);
	for (size_t i = 0; i < c->rows_count; i++)
		show_row(c, &c->rows[i], is_json);
	if (c->more > 0)
		fprintf(stderr, "tarryctl: %s: %llu SYNs more\n", path,
			(unsigned long long)c->more);
	if (c->copies > 0)
		fprintf(stderr, "tarryctl: %s: %llu SYNs were sent again\n",
			path, (unsigned long long)c->copies);
	if (c->malformed > 0)
		fprintf(stderr, "tarryctl: %s: %llu packets are malformed\n",
			path, (unsigned long long)c->malformed);
}

enum ctl_exit
replay_capture(const struct ctl *ctl, const char *path,
	       const struct config *rules, const struct config *against)
{
	struct capture *c = calloc(1, sizeof(*c));
	enum ctl_exit status = CTL_REFUSED;

	if (c == NULL)
		return CTL_REFUSED;
	c->rules = rules;
	c->against = against;
	c->labels = syn_facts_labels(rules);
	if (c->labels != NULL && capture_file_read(path, take_packet, c) == 0)
		status = CTL_FINE;
	show(c, path, ctl->is_json);
	if (c->syns == 0) {
		fprintf(stderr, "tarryctl: %s: there is no SYN in it\n", path);
		status = CTL_REFUSED;
	}
	labels_free(c->labels);
	free(c);
	return status;
}
