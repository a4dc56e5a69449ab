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

/* No rule decided, and the class above all classes. */
#define PLAN_NO_RULE 0xffff
#define PLAN_CLASS_PASS 0xffff

struct plan {
	/* The shape, from the class. */
	uint16_t greet_ms; /* accept to the last byte of the greeting */
	uint16_t reply_ms; /* added to each reply that may be delayed */
	uint16_t error_ms; /* instead of reply_ms, for 4xx and 5xx */
	uint16_t drip_ms;  /* last part of each delay, in pieces */
	/* The caps, from [budget] and [mta]. */
	uint16_t reply_cap_ms; /* asked to answered; also the greet budget */
	uint16_t data_reply_cap_ms;
	uint16_t patience_ms; /* longest hold of anything the MTA said */
	uint16_t rule_id;     /* index into policy.rules, or PLAN_NO_RULE */
	uint16_t class_id; /* index into policy.classes, or PLAN_CLASS_PASS */
	bool teaser;	   /* a 220- line at once */
	uint32_t session_cap_ms;
};

#endif
