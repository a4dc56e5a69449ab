/*
 * What became of the mail of each stack signature, so far: for people, who
 * want to see which ones deliver and which do not.
 *
 * One table a worker, of fixed size. Signatures are chosen by whoever sends:
 * a newcomer to a full table takes the place of the one that weighs least and
 * weighs one more than it did (Metwally, Agrawal, El Abbadi: "Efficient
 * computation of frequent and top-k elements in data streams", 2005), so that
 * one with more than a TALLY_SIGNATURES-th of the sessions is surely there.
 * Weights fade, so that yesterday's give way to today's. Counts begin with
 * zero when a signature comes in, and are exact from then on.
 *
 * The worker counts and another thread copies, under one lock, held for some
 * microseconds once in seconds.
 */
#ifndef PROXY_ADMIN_TALLY_H
#define PROXY_ADMIN_TALLY_H

#include <stdint.h>
#include <stdio.h>

#include "tarry/outcome.h"

#define TALLY_SIGNATURES 256u
#define TALLY_TEXT_CAP 96
#define TALLY_LABEL_CAP 48

/* What is counted; behind these the outcomes, by enum outcome. */
enum tally_count { TALLY_SESSIONS, TALLY_GAVE_UP, TALLY_OUTCOMES };
#define TALLY_COUNTS (TALLY_OUTCOMES + OUTCOME_COUNT)

struct tally_signature {
	uint64_t hash;
	uint32_t weight; /* 0: the place is free */
	uint32_t counts[TALLY_COUNTS];
	char text[TALLY_TEXT_CAP];   /* cut; "unknown": no SYN was seen */
	char label[TALLY_LABEL_CAP]; /* cut; "": none */
};

struct session_report;
struct signature_texts;
struct tally;

/* Empty; the seed is secret. NULL: no memory. */
struct tally *tally_new(uint64_t seed);
void tally_free(struct tally *t);

/* Counts a session that is over; `syn` may be NULL: it was not seen, and `t`:
 * nobody asks. */
void tally_session(struct tally *t, const struct signature_texts *signature,
		   const struct session_report *report);

/* Copies those that there are into out[0..TALLY_SIGNATURES); how many. */
uint32_t tally_copy(struct tally *t, struct tally_signature *out);

/* Takes a little of every weight; once a minute halves them in 12 hours. */
void tally_fade(struct tally *t);

/* Adds up rows of one signature from several tables, heaviest first; returns
 * how many are left. */
uint32_t tally_merge(struct tally_signature *rows, uint32_t count);

/* One line: what `count` tables take. */
void tally_print_size(uint32_t count, FILE *out);

#endif
