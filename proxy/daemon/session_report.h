/*
 * What is told of a session when it is over: to the log and to the metrics.
 *
 * A worker fills one on its stack and hands it on; nothing is kept. Texts may
 * be anything, a peer's bytes too: whoever prints them escapes them.
 */
#ifndef PROXY_DAEMON_SESSION_REPORT_H
#define PROXY_DAEMON_SESSION_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "tarry/reputation.h"
#include "tarry/session.h"
#include "tarry/signature.h"

/* Where the SYN came from. */
enum syn_source { SYN_FROM_NOWHERE, SYN_FROM_SIDECAR, SYN_FROM_KERNEL };

struct labels;

struct session_report {
	/* Client, server, plan, counts, reason, marks; after the last step. */
	const struct session *session;
	uint64_t id;	       /* as in other lines about this session */
	const char *listener;  /* its name in the file */
	const char *signature; /* SIGNATURE_SYN's text; NULL: unknown */
	uint16_t mta_port; /* that the MTA saw, in the client's guise; or 0 */
	enum syn_source syn_source;
	const char *label; /* NULL: none */
	/* What the DNS said of the client. */
	bool has_dnsbl;
	bool has_dnswl;
	uint32_t dnsbl;
	uint32_t dnswl;
	const char *lists; /* each of them, evidence_lists_text(); or NULL */
	const char *ptr;   /* NULL: not known */
	const char *pool;  /* NULL: not known, or none */
	uint32_t asn;	   /* 0: not known */
	const char *ja4;   /* NULL: no TLS, or no whole ClientHello */
	const struct client_hello *hello; /* NULL: no TLS */
	enum label_quality label_quality;
	const struct labels *labels; /* NULL: no names for dialects */
	bool has_reputation;
	/* Before the session: without what was seen of it; if it was slowed,
	 * or would have been, and has_reputation. */
	enum reputation_standing standing_before;
	struct reputation reputation; /* at the end, before that is learnt */
	uint64_t rows[LEDGER_KINDS];  /* in which it is; 0: none */
	/* TLS that ended here; NULL: none, or not known. */
	const char *tls_version;
	const char *tls_cipher;
	const char *tls_error; /* why the handshake failed */
	bool tls_is_resumed;
	const char *rule;	  /* names_rule() */
	const char *shadow_rule;  /* the same, of plan.shadow_rule_id */
	const char *class;	  /* names_class() */
	const char *mode;	  /* plan_mode_name() */
	enum session_phase phase; /* in which it ended, before CLOSING */
	uint64_t duration_ms;	  /* accept to end */
};

#endif
