/*
 * What is known of one session when a plan is made. A value, built on the
 * stack by whoever asks for a plan. Absent is an ordinary value: a bit of
 * `present` says which facts are there.
 */
#ifndef TARRY_EVIDENCE_H
#define TARRY_EVIDENCE_H

#include "tarry/addr.h"
#include "tarry/signature.h"

enum evidence_kind {
#define EVIDENCE(id, name, type, help) EVIDENCE_##id,
#include "tarry/evidence.def"
#undef EVIDENCE
	EVIDENCE_COUNT
};

struct evidence {
	uint64_t present; /* evidence_bit() of each fact that is there */
	struct addr client;
	struct syn syn; /* syn, stack, family, mss, distance */
	const struct signature_texts *texts; /* of syn; NULL: not written */
	const char *label;    /* NULL: none; owned by the label table */
	const char *listener; /* NULL: none; owned by the configuration */
	const char *ja4;      /* NULL: none; these two as long as the value */
	const char *ja4_raw;  /* its raw text, JA4_r */
	const char *dialect;  /* NULL: none; as long as the value */
	const char *ptr;      /* NULL: not known; one of evidence_ptr_name() */
	uint32_t syn_retransmits;
	uint32_t session_errors;
	uint32_t session_recipients;
	uint32_t session_messages;
	uint32_t session_unknown_users;
	uint32_t client_sessions;
	uint32_t network_sessions;
	uint32_t stack_sessions;
	uint32_t client_rate; /* a minute */
	uint32_t reputation_number;
	const char *reputation; /* NULL: unknown; reputation_name() */
	bool is_proven;
	uint32_t asn;
	uint32_t dnsbl;
	uint32_t dnswl;
	uint16_t lists_known;	     /* of those two one by one: a bit each */
	const uint8_t *list_weights; /* if any is known; 0: not listed */
	const char *const *list_names;
	bool early_talker;
	bool pipelining;
	bool non_smtp;
	bool bare_newline;
};

_Static_assert(EVIDENCE_COUNT < 64, "each fact has a bit of `present`");

/* Lists in the DNS. */
#define EVIDENCE_LISTS_CAP 12

/* What the reverse look-up of an address found. */
enum evidence_ptr {
	EVIDENCE_PTR_UNKNOWN, /* nobody asked, or there was no answer */
	EVIDENCE_PTR_NONE,
	EVIDENCE_PTR_UNCONFIRMED, /* names, none of which leads back to it */
	EVIDENCE_PTR_CONFIRMED,
	EVIDENCE_PTR_COUNT
};

/* "none", "unconfirmed", "confirmed", static; NULL: unknown. */
const char *evidence_ptr_name(enum evidence_ptr ptr);

/* Longest text of all lists that is told. */
#define EVIDENCE_LISTS_TEXT_CAP 256

/*
 * `zen:3,good:0`: what each list in the DNS that is known says; what does not
 * fit is left out. Returns the length, 0 if none is known.
 */
size_t evidence_lists_text(const struct evidence *e,
			   char out[EVIDENCE_LISTS_TEXT_CAP]);

/* The fact's bit in `present`. */
static inline uint64_t
evidence_bit(enum evidence_kind kind)
{
	return (uint64_t)1 << kind;
}

/* The value of a NUMBER or FLAG that is there; 0 of other kinds, and of SCORE
 * and SOURCES, which plan_make() counts. */
uint32_t evidence_number(const struct evidence *e, enum evidence_kind kind);

/* True if the fact is there. */
static inline bool
evidence_has(const struct evidence *e, enum evidence_kind kind)
{
	return (e->present & evidence_bit(kind)) != 0;
}

#endif
