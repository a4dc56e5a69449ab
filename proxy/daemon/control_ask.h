/*
 * What control_ask.c and control_explain.c share and nobody else needs.
 */
#ifndef PROXY_DAEMON_CONTROL_ASK_H
#define PROXY_DAEMON_CONTROL_ASK_H

#include "proxy/daemon/control_state.h"
#include "proxy/relay/worker_ask.h"

/* One question to all workers, one after the other. */
struct control_ask {
	struct control_request *request;
	uint32_t worker; /* that answers */
	struct worker_question question;
};

/* Says what is known of a session, every rule and what follows; the end is
 * the caller's to say. */
void control_explain_session(struct control *c, struct control_request *r,
			     struct session_known *k);

/* The same for a client without a session, from memory alone. */
void control_explain_client(struct control *c, struct control_request *r,
			    const struct addr *client);

#endif
