#include "tests/month/population.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_CAP 160
#define DAYS_CAP 10000u

enum field { IS_TEXT, IS_NUMBER, IS_RANGE, IS_FLAG };

struct key {
	const char *name;
	enum field field;
	size_t at;
};

#define AT(m) offsetof(struct group, m)
static const struct key keys[] = {
    {"dialect", IS_TEXT, AT(dialect)},
    {"looks", IS_TEXT, AT(looks)},
    {"behind", IS_TEXT, AT(behind)},
    {"bad", IS_FLAG, AT(is_bad)},
    {"pool", IS_FLAG, AT(has_pool)},
    {"share", IS_NUMBER, AT(share)},
    {"signatures", IS_NUMBER, AT(signatures)},
    {"addresses", IS_NUMBER, AT(addresses)},
    {"networks", IS_NUMBER, AT(networks)},
    {"retry", IS_NUMBER, AT(retry_min)},
    {"tries", IS_NUMBER, AT(tries)},
    {"tls", IS_NUMBER, AT(tls)},
    {"spam", IS_NUMBER, AT(spam)},
    {"caught", IS_NUMBER, AT(caught)},
    {"late", IS_NUMBER, AT(late)},
    {"unknown", IS_NUMBER, AT(unknown)},
    {"early", IS_NUMBER, AT(early)},
    {"from", IS_NUMBER, AT(from_day)},
    {"until", IS_NUMBER, AT(until_day)},
    {"rotates", IS_NUMBER, AT(rotates_h)},
    {"adapts", IS_NUMBER, AT(adapts_day)},
    {"adapted", IS_NUMBER, AT(adapted_s)},
    {"patience", IS_RANGE, AT(patience_s)},
    {"total", IS_RANGE, AT(total_s)},
    {"bytes", IS_RANGE, AT(bytes)},
    {"messages", IS_RANGE, AT(messages)},
};

static bool
set_range(struct range *r, const char *value)
{
	char *end;

	r->low = (uint32_t)strtoul(value, &end, 10);
	r->high = r->low;
	if (strncmp(end, "..", 2) == 0)
		r->high = (uint32_t)strtoul(end + 2, &end, 10);
	return *end == '\0' && end != value && r->high >= r->low;
}

static bool
set_key(struct group *g, const char *name, const char *value)
{
	const struct key *k = keys;
	void *at;

	while (k < keys + sizeof(keys) / sizeof(*k) &&
	       strcmp(k->name, name) != 0)
		k++;
	if (k == keys + sizeof(keys) / sizeof(*k))
		return false;
	at = (char *)g + k->at;
	switch (k->field) {
	case IS_TEXT:
		return snprintf(at, GROUP_NAME_CAP, "%s", value) <
		       GROUP_NAME_CAP;
	case IS_NUMBER:
		return sscanf(value, "%u", (uint32_t *)at) == 1;
	case IS_RANGE:
		return set_range(at, value);
	case IS_FLAG:
		*(bool *)at = strcmp(value, "yes") == 0;
		return true;
	}
	return false;
}

static struct group *
new_group(struct population *p, const char *name)
{
	struct group *g = &p->groups[p->count];

	if (p->count == GROUPS_CAP)
		return NULL;
	*g = (struct group){
	    .share = 1,
	    .signatures = 1,
	    .addresses = 1,
	    .networks = 1,
	    .until_day = DAYS_CAP,
	    .adapts_day = DAYS_CAP,
	    .bytes = {1000, 1000},
	    .messages = {1, 1},
	};
	(void)snprintf(g->name, sizeof(g->name), "%s", name);
	p->count++;
	return g;
}

static bool
read_line(struct population *p, char *line)
{
	char name[GROUP_NAME_CAP];
	char value[GROUP_NAME_CAP];

	line[strcspn(line, ";\r\n")] = '\0';
	if (line[strspn(line, " ")] == '\0')
		return true;
	if (sscanf(line, "[group %31[a-z0-9-]]", name) == 1)
		return new_group(p, name) != NULL;
	return p->count > 0 && sscanf(line, "%31s = %31s", name, value) == 2 &&
	       set_key(&p->groups[p->count - 1], name, value);
}

/* The group of that name; itself if there is none. */
static uint32_t
named(const struct population *p, const char *name, uint32_t self)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if (strcmp(p->groups[i].name, name) == 0)
			return i;
	}
	return self;
}

bool
population_read(struct population *p, const char *path)
{
	char line[LINE_CAP];
	unsigned number = 0;
	bool is_good = true;
	FILE *file = fopen(path, "re");

	p->count = 0;
	if (file == NULL) {
		perror(path);
		return false;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		number++;
		if (read_line(p, line))
			continue;
		(void)fprintf(stderr, "%s:%u: not understood\n", path, number);
		is_good = false;
	}
	(void)fclose(file);
	for (uint32_t i = 0; i < p->count; i++) {
		p->groups[i].looks_of = named(p, p->groups[i].looks, i);
		p->groups[i].addresses_of = named(p, p->groups[i].behind, i);
	}
	return is_good && p->count > 0;
}

/* A SYN out of a number: a few layouts, as there are few stacks; the rest of
 * what differs is window, scale and MSS. */
static void
make_syn(struct syn *syn, uint64_t dice)
{
	static const uint8_t layouts[6][7] = {
	    {5, 2, 4, 8, 1, 3},	   {6, 2, 1, 3, 1, 1, 4},
	    {4, 2, 1, 1, 4},	   {1, 2},
	    {6, 2, 1, 3, 4, 8, 0}, {3, 2, 1, 3},
	};
	static const uint16_t mss[] = {1460, 1460, 1460, 1452, 1440, 1400};
	static const uint8_t ttls[] = {64, 64, 128, 128, 255};
	static const uint16_t windows[] = {64240, 65535, 8192, 29200, 16384};
	const uint8_t *layout = layouts[dice_below(&dice, 6)];

	memset(syn, 0, sizeof(*syn));
	syn->version = 4;
	syn->flags = 2;
	syn->ttl = (uint8_t)(ttls[dice_below(&dice, 5)] - 12);
	syn->mss = mss[dice_below(&dice, 6)];
	syn->window = windows[dice_below(&dice, 5)];
	if (dice_percent(&dice, 40))
		syn->window = (uint16_t)(dice_below(&dice, 16000) * 4);
	syn->kinds_count = layout[0];
	memcpy(syn->kinds, layout + 1, layout[0]);
	syn->wscale = SYN_WSCALE_ABSENT;
	if (memchr(syn->kinds, 3, syn->kinds_count) != NULL)
		syn->wscale = (uint8_t)dice_below(&dice, 10);
	syn->eol_pad = SYN_EOL_ABSENT;
}

static void
make_client(const struct population *p, uint32_t group, uint32_t number,
	    struct addr *client)
{
	const struct group *g = &p->groups[group];
	const uint32_t i = number % g->addresses;
	const uint64_t net = dice_mix(group + 1000, i % g->networks);
	const uint8_t ip[4] = {(uint8_t)(1 + net % 223), (uint8_t)(net >> 8),
			       (uint8_t)(net >> 16),
			       (uint8_t)(1 + i / g->networks % 254)};

	addr_set_v4(client, ip, (uint16_t)(1024 + number % 60000));
}

void
population_member(const struct population *p, uint32_t group, uint32_t number,
		  uint32_t at_s, struct member *out)
{
	const struct group *g = &p->groups[group];
	const struct group *looks = &p->groups[g->looks_of];
	uint64_t dice = dice_mix(group, number);
	uint32_t epoch = 0;
	uint32_t which;

	make_client(p, g->addresses_of, number, &out->client);
	which = dice_below(&dice, looks->signatures);
	out->patience_ms = dice_range(&dice, g->patience_s) * 1000;
	out->total_ms = dice_range(&dice, g->total_s) * 1000;
	if (at_s / 86400 >= g->adapts_day)
		out->patience_ms = g->adapted_s * 1000;
	if (g->rotates_h > 0)
		epoch = at_s / 3600 / g->rotates_h;
	out->signature = dice_mix(g->looks_of * 1000 + which, epoch);
	make_syn(&out->syn, out->signature);
	out->dialect = looks->dialect;
	out->pool = g->has_pool ? g->name : NULL;
}
