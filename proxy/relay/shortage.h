/*
 * When sessions run out: who goes first (design, P1 and section 7).
 *
 * A worker has some seats more than sessions it means to serve, so that a
 * newcomer is accepted and known before it is decided who gives way. Accepting
 * pauses only when no seat at all is left.
 */
#ifndef PROXY_RELAY_SHORTAGE_H
#define PROXY_RELAY_SHORTAGE_H

#include <stdint.h>

struct conn;
struct worker;

/* Seats for so many sessions that are meant to be served: 5 % more. */
uint32_t shortage_seats(uint32_t sessions);

/* The session made a step: does it wait for the MTA, linger, or neither? */
void shortage_note(struct conn *c);

/* The session is over. */
void shortage_forget(struct conn *c);

/* A session was accepted and has its plan: somebody may have to go. */
void shortage_came(struct worker *w);

/* Looks whether stress of sessions or of MTA slots began or ended: then all
 * sessions are planned again. Once a turn. */
void shortage_look(struct worker *w);

#endif
