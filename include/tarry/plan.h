/*
 * A plan: how one session is treated. A value; sessions hold a copy and no
 * pointer into the policy, so that a policy can be replaced under them.
 */
#ifndef TARRY_PLAN_H
#define TARRY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* Largest values the governor allows whatever the file says (design, P4). */
#define PLAN_REPLY_MAX_MS 25000
#define PLAN_DATA_REPLY_MAX_MS 20000
#define PLAN_SESSION_MAX_MS 300000
#define PLAN_ERROR_4XX_MAX_MS 5000

/* The upload is never read slower than this, bytes a second (P4). */
#define PLAN_DATA_RATE_MIN 1024u

/* No rule decided; the classes above and below all others. */
#define PLAN_NO_RULE 0xffff
#define PLAN_CLASS_PASS 0xffff
#define PLAN_CLASS_DEFER 0xfffe
/* Classes in a file at most; rank 0 is `pass`, then 1.. as in the file. */
#define PLAN_CLASSES_CAP 62
#define PLAN_RANK_DEFER 63
#define PLAN_RANKS 64

/* What sessions of one class are counted by, for the class's caps. */
enum plan_cap { PLAN_CAP_CLIENT, PLAN_CAP_NETWORK, PLAN_CAP_STACK, PLAN_CAPS };

struct plan {
	/* The shape, from the class. */
	uint16_t greet_ms; /* accept to the last byte of the greeting */
	uint16_t reply_ms; /* added to each reply that may be delayed */
	uint16_t error_ms; /* instead of reply_ms, for 4xx and 5xx */
	uint16_t drip_ms; /* last part of each delay, in pieces; see is_split */
	/* The caps, from [budget] and [mta]. */
	uint16_t reply_cap_ms; /* asked to answered; also the greet budget */
	uint16_t data_reply_cap_ms;
	uint16_t patience_ms; /* longest hold of anything the MTA said */
	/* Ids of names, for people; see policy_rule.id, policy_class.id. */
	uint16_t rule_id;	 /* or PLAN_NO_RULE */
	uint16_t shadow_rule_id; /* the first that only would have decided */
	uint16_t class_id;	 /* or PLAN_CLASS_PASS, PLAN_CLASS_DEFER */
	/* Sessions of the class at a time, by enum plan_cap; 0: no cap. */
	uint16_t caps[PLAN_CAPS];
	uint8_t rank;	 /* of the class: 0 pass, 1 the best, .. DEFER */
	bool teaser : 1; /* a 220- line at once */
	bool
	    is_shadow : 1; /* only noted what it would do; nothing is delayed */
	/* The drip is for greeting and hello alone, and in two halves: one in
	 * its middle, one at its end. */
	bool is_split : 1;
	/* The client's network is left unshaped today, for comparison: then
	 * is_shadow is set too. See holdout.h. */
	bool is_held_out : 1;
	uint32_t data_rate; /* of the upload, bytes a second; 0: not slowed */
	uint32_t session_cap_ms;
};

/* True if the plan is one that slows, or would: neither pass nor defer. */
static inline bool
plan_is_slowing(const struct plan *p)
{
	return p->rank > 0 && p->class_id != PLAN_CLASS_DEFER;
}

/* "enforce"; "shadow": nothing is delayed, the rule or all are being tried;
 * "holdout": this client is not, for comparison. Static text. */
const char *plan_mode_name(const struct plan *p);

#endif
