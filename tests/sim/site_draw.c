/* Sites made up from a seed. */
#include "tests/sim/site.h"

#include <string.h>

struct sim_site site;

static const char *const listeners[] = {"smtp", "two"};
static const char *const texts[2][1] = {{"smtp"}, {"two"}};

uint32_t
site_draw(uint32_t n)
{
	return run_draw(&site.dice, n);
}

uint32_t
site_pick(const uint32_t *values, uint32_t count)
{
	return values[site_draw(count)];
}

static void
draw_class(struct policy_class *c, uint16_t id)
{
	static const uint32_t greets[] = {0, 1000, 3000, 15000, 20000, 60000};
	static const uint32_t replies[] = {0, 0, 2000, 5000, 9000, 30000};
	static const uint32_t drips[] = {0, 0, 2000, 5000};
	static const uint32_t rates[] = {0, 0, 1, 4096};
	static const uint32_t caps[] = {0, 0, 1, 2, 5};

	memset(c, 0, sizeof(*c));
	c->name = "class";
	c->id = id;
	c->greet_ms = site_pick(greets, 6);
	c->reply_ms = site_pick(replies, 6);
	c->error_ms = site_pick(replies, 6);
	c->drip_ms = site_pick(drips, 4);
	c->data_rate = site_pick(rates, 4);
	c->teaser = site_draw(2) != 0;
	c->caps[PLAN_CAP_CLIENT] = site_pick(caps, 5);
	c->caps[PLAN_CAP_NETWORK] = site_pick(caps, 5);
	c->caps[PLAN_CAP_STACK] = site_pick(caps, 5);
}

static void
draw_condition(struct policy_condition *c)
{
	static const enum evidence_kind kinds[] = {
	    EVIDENCE_EARLY_TALKER,
	    EVIDENCE_SESSION_ERRORS,
	    EVIDENCE_SESSION_MESSAGES,
	    EVIDENCE_CLIENT_SESSIONS,
	    EVIDENCE_NETWORK_SESSIONS,
	    EVIDENCE_CLIENT_RATE,
	    EVIDENCE_SCORE,
	    EVIDENCE_LISTENER,
	};

	memset(c, 0, sizeof(*c));
	c->kind = kinds[site_draw(8)];
	c->is_not = site_draw(4) == 0;
	c->low = site_draw(3);
	c->high = c->low + site_draw(4);
	if (c->kind == EVIDENCE_LISTENER) {
		c->texts = texts[site_draw(2)];
		c->count = 1;
	}
	if (c->kind == EVIDENCE_EARLY_TALKER)
		c->low = c->high = 1;
}

static void
draw_rule(struct policy_rule *r, struct policy_condition *conditions,
	  uint16_t id)
{
	memset(r, 0, sizeof(*r));
	r->name = "rule";
	r->id = id;
	r->conditions = conditions;
	r->conditions_count = id + 1 < RULES ? 1 + site_draw(2) : site_draw(2);
	draw_condition(&conditions[0]);
	draw_condition(&conditions[1]);
	r->class_index = (uint16_t)site_draw(CLASSES);
	if (site_draw(8) == 0)
		r->class_index = PLAN_CLASS_PASS;
	if (site_draw(20) == 0)
		r->class_index = PLAN_CLASS_DEFER;
	r->is_add = site_draw(4) == 0;
	r->points = (int32_t)site_draw(6) - 1;
	r->is_shadow = site_draw(6) == 0;
}

static void
draw_policy(void)
{
	static const uint32_t caps[] = {20000, 20000, 5000, 25000};
	struct policy *p = &site.policy;
	uint16_t i;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < CLASSES; i++)
		draw_class(&site.classes[i], i);
	for (i = 0; i < RULES; i++)
		draw_rule(&site.rules[i], site.conditions[i], i);
	p->classes = site.classes;
	p->classes_count = CLASSES;
	p->rules = site.rules;
	p->rules_count = RULES;
	p->score.early_talker = 2;
	p->reply_cap_ms = site_pick(caps, 4);
	p->data_reply_cap_ms = 5000;
	p->session_cap_ms = site_draw(3) ? 120000 : 15000;
	p->patience_ms = 9000;
	p->open_rank = (uint8_t)site_draw(CLASSES);
	p->is_shadow = site_draw(10) == 0;
	p->counts_matter = true;
}

void
site_draw_client(struct client *c)
{
	c->listener = listeners[site_draw(2)];
	c->keys.key[PLAN_CAP_CLIENT] = 1 + site_draw(8);
	c->keys.key[PLAN_CAP_NETWORK] = 100 + site_draw(4);
	c->keys.key[PLAN_CAP_STACK] = site_draw(4) ? 200 + site_draw(2) : 0;
}

void
site_draw_plot(struct run_plot *p)
{
	static const uint32_t lags[] = {0, 1, 30, 400};
	static const uint32_t patience[] = {0, 0, 3000, 9000, 30000};
	uint32_t leaves = site_pick(patience, 5);

	memset(p, 0, sizeof(*p));
	p->dialogue = &dialogues[site_draw((uint32_t)dialogues_count)];
	p->greeting = "220 mx.example.org ESMTP\r\n";
	p->closes_at = site_draw(10) == 0 ? (int)site_draw(10) : -1;
	p->lag_ms = site_pick(lags, 4);
	p->piece_bytes = 20000;
	if (leaves > 0)
		p->leaves_ms = site.house.now_ms + leaves;
	p->refusals = site_draw(20) == 0 ? (int)site_draw(30) : 0;
}

bool
site_open(uint64_t seed, void (*acts)(struct lodger *l),
	  void (*left)(struct lodger *l))
{
	struct house_options options = {.acts = acts, .left = left};
	int i;

	site.dice.rng = seed * 0x2545f4914f6cdd1d + 7;
	options.limit = 4 + site_draw(16);
	options.slots = 1 + site_draw(10);
	options.reserve = site_draw(options.slots + 1);
	if (!house_open(&site.house, &options))
		return false;
	site.house.now_ms = START_MS;
	draw_policy();
	site.site = (struct site){.name = "tarry.example.org",
				  .name_len = 17,
				  .client_address = CLIENT_ADDRESS_V2,
				  .lead_ms = site_draw(2) ? 1000 : 5,
				  .connect_timeout_ms = 10000,
				  .drip_gap_ms = 200,
				  .counts_matter = site_draw(2) != 0};
	for (i = 0; i < COMERS; i++) {
		struct client *c = &site.clients[i];

		memset(&c->lodger, 0, sizeof(c->lodger));
		c->has_come = c->waits_for_caps = false;
		c->comes_ms = START_MS + site_draw(30000);
	}
	return true;
}
