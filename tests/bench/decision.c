/*
 * What a decision costs: plan_make() with many rules and networks.
 *
 *     decision [RULES] [NETWORKS] [SECONDS]
 *
 * Writes a configuration with that many rules and networks into a temporary
 * directory, loads it as tarryd does, and asks for plans of clients that are
 * different each time: half of them in a listed network, most of them with a
 * SYN that some pattern is for. Prints ns of CPU time per decision, for the
 * compiled rules and for the plain loop, and what loading took.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/config/config.h"

/* Clients asked about in turn, more than a cache has room for. */
#define CLIENTS 65536
/* Of which the median is printed. */
#define ROUNDS 21
/* Every so many rules have a list of networks; the others a pattern. */
#define RULES_PER_LIST 10

/* Of a client, what the rules ask for; the rest is in cache, as it would be
 * where the evidence has just been gathered. */
struct sample {
	struct addr client;
	uint16_t mss;
	uint16_t window;
	uint8_t wscale;
	uint8_t ttl;
	uint8_t layout;
};

struct work {
	char dir[64];
	uint32_t rules;
	uint32_t networks;
	double seconds;
	struct sample *clients;
};

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t
draw(uint32_t count)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % count;
}

/* CPU time: other programs are no part of it. */
static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static FILE *
open_file(const struct work *w, const char *name)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	out = fopen(path, "we");
	if (out == NULL) {
		perror(path);
		exit(1);
	}
	return out;
}

/* IPv4 /24 to /32 and, each eighth, IPv6 /48. */
static void
write_network(FILE *out)
{
	const uint32_t a = 1 + draw(222);
	const uint32_t b = draw(256);
	const uint32_t c = draw(256);

	if (draw(8) == 0)
		fprintf(out, "2001:%x:%x::/48\n", draw(65536), draw(65536));
	else if (draw(2) == 0)
		fprintf(out, "%u.%u.%u.0/24\n", a, b, c);
	else
		fprintf(out, "%u.%u.%u.%u\n", a, b, c, draw(256));
}

static void
write_pattern_rule(FILE *out, uint32_t number)
{
	static const char *const layouts[] = {
	    "mss,nop,ws,nop,nop,sok",  "mss,sok,ts,nop,ws",
	    "mss,nop,ws,sok,ts,eol+1", "mss",
	    "mss,nop,nop,sok",	       "mss,nop,ws,nop,nop,ts,sok,eol+1"};

	fprintf(out, "[rule r%u]\nsyn = *:%u:0:%u:%u,%u:%s:*:0\n", number,
		draw(2) ? 64 : 128, 1200 + draw(261), 1024 * (1 + draw(63)),
		draw(15), layouts[draw(6)]);
}

static void
write_rule(const struct work *w, FILE *out, uint32_t number)
{
	char name[32];
	FILE *list;

	if (number % RULES_PER_LIST != 0) {
		write_pattern_rule(out, number);
	} else {
		snprintf(name, sizeof(name), "l%u", number);
		list = open_file(w, name);
		for (uint32_t i = 0;
		     i < w->networks * RULES_PER_LIST / w->rules; i++)
			write_network(list);
		fclose(list);
		fprintf(out, "[rule r%u]\nnetwork = @%s/%s\n", number, w->dir,
			name);
	}
	if (draw(4) == 0)
		fputs("session.errors = 3..\n", out);
	fputs(draw(2) ? "add = 1\n" : "class = slow\n", out);
}

static void
write_config(const struct work *w)
{
	FILE *out = open_file(w, "tarry.ini");

	fputs("[tarry]\nmode = enforce\n[listen smtp]\n"
	      "address = 127.0.0.1:2500\n[class slow]\ngreet = 9s\n",
	      out);
	for (uint32_t i = 0; i < w->rules; i++)
		write_rule(w, out, i);
	fputs("[rule worst]\nscore = 3..\nclass = slow\n"
	      "[rule everyone]\nclass = slow\n",
	      out);
	fclose(out);
}

static struct config *
load(const struct work *w)
{
	struct report report = {0};
	struct config *config;
	char path[128];
	double start = now_s();

	snprintf(path, sizeof(path), "%s/tarry.ini", w->dir);
	if (config_load(&config, path, NULL, &report) != 0) {
		report_print(&report, stderr);
		exit(1);
	}
	report_free(&report);
	printf("loaded in        %9.1f ms of CPU time\n",
	       (now_s() - start) * 1e3);
	return config;
}

/* A client within the network, or anywhere. */
static void
set_client(struct sample *s, const struct net *net)
{
	const uint8_t ip[4] = {(uint8_t)(1 + draw(222)), (uint8_t)draw(256),
			       (uint8_t)draw(256), (uint8_t)draw(256)};

	addr_set_v4(&s->client, ip, 25);
	if (net != NULL) {
		memcpy(s->client.ip, net->ip, sizeof(net->ip));
		s->client.family = net->ip[0] == 0 ? 4 : 6;
	}
	s->mss = (uint16_t)(1200 + draw(261));
	s->window = (uint16_t)(1024 * (1 + draw(63)));
	s->wscale = (uint8_t)draw(15);
	s->ttl = (uint8_t)(draw(2) ? 50 : 110);
	s->layout = (uint8_t)draw(3);
}

static void
set_evidence(struct evidence *e, const struct sample *s)
{
	static const uint8_t kinds[3][6] = {
	    {2, 1, 3, 1, 1, 4}, {2, 4, 8, 1, 3}, {2}};
	static const uint8_t counts[3] = {6, 5, 1};

	e->client = s->client;
	e->syn.mss = s->mss;
	e->syn.window = s->window;
	e->syn.wscale = s->wscale;
	e->syn.ttl = s->ttl;
	e->syn.kinds_count = counts[s->layout];
	memcpy(e->syn.kinds, kinds[s->layout], sizeof(kinds[0]));
}

static void
set_clients(struct work *w, const struct policy *policy)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct policy_rule *rule =
		    &policy->rules[draw(w->rules) / RULES_PER_LIST *
				   RULES_PER_LIST];
		const struct policy_condition *c = &rule->conditions[0];
		set_client(&w->clients[i],
			   c->count > 0 && draw(2)
			       ? &c->nets[draw((uint32_t)c->count)]
			       : NULL);
	}
}

static int
compare(const void *left, const void *right)
{
	const double a = *(const double *)left;
	const double b = *(const double *)right;

	return (a > b) - (a < b);
}

/* ns a decision in one round; `held` counts on. */
static double
measure_round(const struct work *w, const struct policy *policy, uint64_t *held,
	      uint64_t *count)
{
	struct evidence e = {.present =
				 UINT64_MAX & ~evidence_bit(EVIDENCE_LABEL),
			     .syn = {.version = 4, .eol_pad = SYN_EOL_ABSENT},
			     .listener = "smtp"};
	const double start = now_s();
	const uint64_t first = *count;
	double spent;

	do {
		for (size_t i = 0; i < 64; i++) {
			struct plan_trace trace;
			set_evidence(&e, &w->clients[(*count)++ % CLIENTS]);
			plan_make(policy, &e, NULL, &trace);
			*held += trace.held_count;
		}
		spent = now_s() - start;
	} while (spent < w->seconds / ROUNDS);
	return spent * 1e9 / (double)(*count - first);
}

static void
measure(const struct work *w, const struct policy *policy, const char *what)
{
	double ns[ROUNDS];
	uint64_t held = 0;
	uint64_t count = 0;

	for (size_t i = 0; i < ROUNDS; i++)
		ns[i] = measure_round(w, policy, &held, &count);
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	printf("%-16s %9.1f ns a decision (quartiles %.1f %.1f), %.2f rules "
	       "held\n",
	       what, ns[ROUNDS / 2], ns[ROUNDS / 4], ns[ROUNDS * 3 / 4],
	       (double)held / (double)count);
}

static void
remove_files(const struct work *w)
{
	char path[128];

	for (uint32_t i = 0; i < w->rules; i += RULES_PER_LIST) {
		snprintf(path, sizeof(path), "%s/l%u", w->dir, i);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/tarry.ini", w->dir);
	unlink(path);
	rmdir(w->dir);
}

static uint32_t
number_of(int argc, char **argv, int at, uint32_t otherwise)
{
	return at < argc ? (uint32_t)strtoul(argv[at], NULL, 10) : otherwise;
}

int
main(int argc, char **argv)
{
	struct work w = {.dir = "/tmp/decision.XXXXXX",
			 .rules = number_of(argc, argv, 1, 1000),
			 .networks = number_of(argc, argv, 2, 100000),
			 .seconds = number_of(argc, argv, 3, 2)};
	struct policy plain;

	w.clients = calloc(CLIENTS, sizeof(*w.clients));
	if (w.rules == 0 || w.rules > 60000 || w.clients == NULL ||
	    mkdtemp(w.dir) == NULL)
		return 1;
	write_config(&w);
	struct config *config = load(&w);
	remove_files(&w);
	set_clients(&w, &config->policy);
	printf("%u rules, %u networks\n", w.rules, w.networks);
	measure(&w, &config->policy, "compiled");
	plain = config->policy;
	plain.index = NULL;
	measure(&w, &plain, "each rule tried");
	config_free(config);
	free(w.clients);
	return 0;
}
