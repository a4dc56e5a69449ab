/*
 * Why a session is treated as it is: who it is, every rule that was tried
 * with each condition and what is known of its fact, the plan that follows,
 * and what holds the session at this moment. Lines of JSON.
 *
 * The plan is made again from what the worker knew, by plan_make() itself;
 * the plan that is in force was made earlier and stands beside it.
 */
#include "proxy/daemon/control_ask.h"

#include <stdio.h>
#include <string.h>

#include "proxy/config/condition_text.h"
#include "tarry/explain.h"

/* Rules that do not hold: so many are told. */
#define FAILING_SHOWN 500u

static json_t *
peer_text(const char *text)
{
	return escape_json(text, strlen(text));
}

/* The fact as it may be shown. */
static json_t *
fact_value(const struct evidence *e, const struct policy_condition *c,
	   const struct plan_trace *so_far)
{
	char text[CONDITION_TEXT_CAP];

	condition_fact_text(e, c, so_far, text);
	if (c->kind == EVIDENCE_NETWORK || c->kind == EVIDENCE_LISTED)
		log_address(&e->client, text);
	return text[0] != '\0' ? peer_text(text) : json_null();
}

/* All that is known, by name. */
/* For people: no rule can ask for it, but it is where a reputation is from. */
static void
add_pin(struct control *c, const struct evidence *e, json_t *facts)
{
	enum reputation_standing standing;

	if (pins_find(c->pins, &e->client,
		      evidence_has(e, EVIDENCE_SYN) ? &e->syn : NULL,
		      uv_now(&c->loop), &standing))
		json_object_set_new(facts, "pinned by the operator",
				    json_string(reputation_name(standing)));
}

static void
say_facts(struct control *c, struct control_request *r,
	  const struct evidence *e, const struct plan_trace *so_far)
{
	json_t *facts = json_object();

	for (unsigned i = 0; i < EVIDENCE_COUNT; i++) {
		const struct policy_condition fact = {
		    .kind = (enum evidence_kind)i};
		json_t *value = fact_value(e, &fact, so_far);

		if (json_is_null(value) || fact.kind == EVIDENCE_LISTED)
			json_decref(value);
		else
			json_object_set_new(
			    facts, condition_fact_name(fact.kind), value);
	}
	add_pin(c, e, facts);
	control_request_say(r, json_pack("{so}", "facts", facts));
}

static json_t *
conditions(const struct explain *x, const struct policy_rule *rule,
	   const char *const *lists)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rule->conditions_count; i++) {
		const struct policy_condition *c = &rule->conditions[i];
		char text[CONDITION_TEXT_CAP];

		condition_text(c, lists, text);
		json_array_append_new(
		    list,
		    json_pack("{ss so ss}", "condition", text, "value",
			      fact_value(x->evidence, c, &x->so_far), "says",
			      explain_says_name(explain_condition(x, c))));
	}
	return list;
}

static json_t *
rule_effect(const struct policy *policy, const struct policy_rule *rule)
{
	const char *class = "pass";

	if (rule->is_add)
		return json_sprintf("add %d", (int)rule->points);
	if (rule->class_index == PLAN_CLASS_DEFER)
		class = "defer";
	else if (rule->class_index < policy->classes_count)
		class = policy->classes[rule->class_index].name;
	return json_sprintf("class %s", class);
}

/* Tries the rules up to the one that decides, as plan_make() does. */
static void
say_rules(const struct control *c, struct control_request *r, struct explain *x)
{
	const struct config *config = c->settings.config;
	const struct policy *policy = &config->policy;
	uint32_t failing = 0;
	bool is_decided = false;

	while (x->next < policy->rules_count && !is_decided) {
		const struct policy_rule *rule = &policy->rules[x->next];
		json_t *tried = conditions(x, rule, config->dns.names);
		json_t *line = json_pack("{ss so sb sb so}", "rule", rule->name,
					 "effect", rule_effect(policy, rule),
					 "shadow", (int)rule->is_shadow,
					 "holds", 0, "conditions", tried);
		bool holds = explain_rule(x);

		is_decided = holds && !rule->is_add && !rule->is_shadow;
		json_object_set_new(line, "holds", json_boolean(holds));
		json_object_set_new(line, "decides", json_boolean(is_decided));
		if (holds || failing++ < FAILING_SHOWN)
			control_request_say(r, line);
		else
			json_decref(line);
	}
	if (failing > FAILING_SHOWN)
		control_request_say(r, json_pack("{si}", "rules_left_out",
						 failing - FAILING_SHOWN));
}

/* A plan's figures; what the governor took off, where that is known. */
static json_t *
plan_json(const struct control *c, const struct plan *p,
	  const struct plan_trace *trace)
{
	json_t *plan = json_pack(
	    "{ss ss ss si si si si si si si sb}", "rule",
	    names_rule(c->names, p->rule_id), "class",
	    names_class(c->names, p->class_id), "mode", plan_mode_name(p),
	    "greet_ms", p->greet_ms, "reply_ms", p->reply_ms, "error_ms",
	    p->error_ms, "drip_ms", p->drip_ms, "data_rate", p->data_rate,
	    "session_cap_ms", p->session_cap_ms, "reply_cap_ms",
	    p->reply_cap_ms, "teaser", (int)p->teaser);

	if (p->shadow_rule_id != PLAN_NO_RULE)
		json_object_set_new(
		    plan, "shadow_rule",
		    json_string(names_rule(c->names, p->shadow_rule_id)));
	if (trace == NULL)
		return plan;
	json_object_set_new(plan, "score", json_integer(trace->score));
	json_object_set_new(plan, "sources", json_integer(trace->sources));
	json_object_set_new(plan, "cut_greet_ms",
			    json_integer(trace->cut_greet_ms));
	json_object_set_new(plan, "cut_reply_ms",
			    json_integer(trace->cut_reply_ms));
	return plan;
}

static void
say_plan(const struct control *c, struct control_request *r,
	 const struct evidence *e, const struct stress *stress)
{
	struct plan_trace trace;
	struct plan plan =
	    plan_make(&c->settings.config->policy, e, stress, &trace);

	control_request_say(
	    r, json_pack("{so sb sb}", "plan", plan_json(c, &plan, &trace),
			 "stress_sessions", (int)stress->sessions,
			 "stress_slots", (int)stress->slots));
}

/* Before the MTA was asked, and what it is asked for. */
static void
before_relay(const struct session *s, char *out, size_t cap)
{
	static const char *const words[PHASE_COUNT] = {
	    [PHASE_NEW] = "it has just been accepted",
	    [PHASE_GREET] = "it waits for its greeting",
	    [PHASE_GATE] = "it waits for a free connection to the MTA",
	    [PHASE_DIAL] = "it waits for the MTA to take the connection; it is "
			   "dialled again each second",
	    [PHASE_BANNER] = "it waits for the MTA's greeting",
	    [PHASE_TLS] = "the TLS handshake is under way",
	    [PHASE_RELAY] = "nothing of it is held: it waits for the client's "
			    "next command or the MTA's answer",
	    [PHASE_BLIND] = "nothing of it is held: what it says is not read, "
			    "as it is TLS that passes through",
	    [PHASE_REFUSED] = "it was greeted by us, and its next command is "
			      "refused",
	    [PHASE_LINGER] = "all is said, the client has not closed",
	    [PHASE_CLOSING] = "its last bytes are on their way",
	    [PHASE_ENDED] = "it is over",
	};

	if (s->phase == PHASE_BLIND && s->is_lost)
		snprintf(out, cap,
			 "nothing of it is held: track was lost of "
			 "what it says");
	else if (s->phase == PHASE_GREET && s->caps == PLACE_ASKED)
		snprintf(out, cap,
			 "it waits for a place in its class, whose "
			 "cap is full");
	else if (s->phase == PHASE_GREET && s->counts.dials > 0)
		snprintf(out, cap, "%s", words[PHASE_DIAL]);
	else
		snprintf(out, cap, "%s", words[s->phase]);
}

/* Why the delays of its plan do not act; NULL: they do. */
static const char *
without_delays(const struct control *c, const struct session *s)
{
	if (s->is_spent && c->state != CONTROL_RUNS)
		return "tarryd shuts down, so all delays have ended";
	if (s->is_spent && s->counts.held_ms >= s->plan.session_cap_ms)
		return "the budget of delay is used up (budget.session)";
	if (s->is_spent)
		return "its delays were ended: released";
	if (s->plan.is_held_out)
		return "it is one of the holdout, which is not slowed";
	if (s->plan.is_shadow)
		return "shadow mode: nothing is delayed";
	if (s->plan.class_id == PLAN_CLASS_PASS)
		return "no delays: class pass";
	return NULL;
}

static bool
is_before_greeting(const struct session *s)
{
	return s->phase == PHASE_GREET || s->phase == PHASE_GATE ||
	       s->phase == PHASE_DIAL || s->phase == PHASE_BANNER;
}

static void
held_words(const struct control *c, const struct session *s, uint32_t age_ms,
	   char *out, size_t cap)
{
	const char *rule = names_rule(c->names, s->plan.rule_id);
	const char *class = names_class(c->names, s->plan.class_id);

	if (is_before_greeting(s))
		snprintf(out, cap,
			 "its greeting is held for %.1f s, %.1f s of which "
			 "have passed: rule %s gave class %s",
			 s->plan.greet_ms / 1000.0, age_ms / 1000.0, rule,
			 class);
	else if (s->hold_end_ms == UINT32_MAX)
		snprintf(out, cap,
			 "a reply is held, %.1f s or less: rule %s gave class "
			 "%s",
			 s->plan.reply_ms / 1000.0, rule, class);
	else
		snprintf(out, cap,
			 "its upload is read at %u bytes a second: rule %s "
			 "gave class %s",
			 (unsigned)s->plan.data_rate, rule, class);
}

/* What keeps it at this moment, in words. */
static void
say_cause(const struct control *c, struct control_request *r,
	  const struct session_known *k)
{
	const struct session *s = &k->session;
	const char *none = without_delays(c, s);
	char now[300];
	char cause[500];

	if (none == NULL && s->is_holding && s->caps != PLACE_ASKED) {
		held_words(c, s, k->age_ms, cause, sizeof(cause));
	} else {
		before_relay(s, now, sizeof(now));
		snprintf(cause, sizeof(cause), "%s%s%s",
			 none != NULL ? none : "", none != NULL ? "; " : "",
			 now);
	}
	control_request_say(r, json_pack("{so}", "cause", peer_text(cause)));
}

static void
say_session(const struct control *c, struct control_request *r,
	    const struct session_known *k)
{
	const struct session *s = &k->session;
	char client[LOG_ADDRESS_CAP];

	log_address(&s->client, client);
	control_request_say(
	    r,
	    json_pack("{sI ss ss sI sI sI sI sb so}", "session",
		      (json_int_t)k->id, "client", client, "phase",
		      session_phase_name((enum session_phase)s->phase),
		      "age_ms", (json_int_t)k->age_ms, "held_ms",
		      (json_int_t)s->counts.held_ms, "gate_ms",
		      (json_int_t)s->counts.gate_ms, "caps_ms",
		      (json_int_t)s->counts.caps_ms, "held", (int)s->is_holding,
		      "in_force", plan_json(c, &s->plan, NULL)));
}

static void
say_why(struct control *c, struct control_request *r, const struct evidence *e,
	const struct stress *stress)
{
	struct explain x;

	explain_start(&x, &c->settings.config->policy, e);
	say_facts(c, r, e, &x.so_far);
	say_rules(c, r, &x);
	say_plan(c, r, e, stress);
}

void
control_explain_session(struct control *c, struct control_request *r,
			struct session_known *k)
{
	k->evidence.list_names = c->settings.config->dns.names;
	say_session(c, r, k);
	say_why(c, r, &k->evidence, &k->stress);
	say_cause(c, r, k);
}

/* What is remembered of the address and its network. */
static void
recall(struct control *c, struct evidence *e)
{
	const struct history_names names = {.client = &e->client};
	struct history_keys keys;
	struct history h = {0};
	enum reputation_standing standing;
	struct reputation rep;

	if (pins_find(c->pins, &e->client, NULL, uv_now(&c->loop), &standing)) {
		pin_apply(&rep, standing);
		reputation_tell(&rep, e);
		return;
	}
	if (c->memory == NULL)
		return;
	memory_keys(c->memory, &names, &keys);
	memory_recall(c->memory, &keys, uv_now(&c->loop), &h);
	rep = reputation_of(&h);
	reputation_tell(&rep, e);
}

void
control_explain_client(struct control *c, struct control_request *r,
		       const struct addr *client)
{
	struct evidence e = {.client = *client,
			     .present = evidence_bit(EVIDENCE_NETWORK)};
	const struct stress stress = {0};
	char text[LOG_ADDRESS_CAP];

	log_address(client, text);
	recall(c, &e);
	control_request_say(r,
			    json_pack("{ss sb}", "client", text, "what_if", 1));
	say_why(c, r, &e, &stress);
	control_request_say(
	    r, json_pack("{ss}", "cause",
			 "it has no session: this is what is known of its "
			 "address alone, without a SYN"));
}
