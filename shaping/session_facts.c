/* What a session did so far, as facts for rules. */
#include "tarry/session.h"

static void
set(struct evidence *e, enum evidence_kind kind)
{
	e->present |= evidence_bit(kind);
}

/* Known from the first command on. */
static bool
has_manners(const struct session *s)
{
	return (s->phase != PHASE_NEW && s->last_verb != SMTP_GREETING) ||
	       s->is_lost;
}

void
session_facts(const struct session *s, struct evidence *e)
{
	if (s->is_early || s->is_greeted)
		set(e, EVIDENCE_EARLY_TALKER);
	e->early_talker = s->is_early;
	if (has_manners(s)) {
		set(e, EVIDENCE_PIPELINING);
		set(e, EVIDENCE_NON_SMTP);
		set(e, EVIDENCE_BARE_NEWLINE);
	}
	e->pipelining = s->is_pipelining;
	e->non_smtp = s->is_non_smtp;
	e->bare_newline = s->is_bare_newline;
	set(e, EVIDENCE_SESSION_ERRORS);
	e->session_errors = s->counts.errors;
	set(e, EVIDENCE_SESSION_RECIPIENTS);
	e->session_recipients = s->counts.recipients;
	set(e, EVIDENCE_SESSION_MESSAGES);
	e->session_messages = s->counts.messages;
	set(e, EVIDENCE_SESSION_UNKNOWN_USERS);
	e->session_unknown_users = s->counts.outcomes[OUTCOME_UNKNOWN_USER];
}
