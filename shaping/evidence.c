/* Facts by their kind; see tarry/evidence.h. */
#include "tarry/evidence.h"

#include <string.h>

const char *
evidence_ptr_name(enum evidence_ptr ptr)
{
	static const char *const names[EVIDENCE_PTR_COUNT] = {
	    [EVIDENCE_PTR_NONE] = "none",
	    [EVIDENCE_PTR_UNCONFIRMED] = "unconfirmed",
	    [EVIDENCE_PTR_CONFIRMED] = "confirmed",
	};

	return names[ptr];
}

uint32_t
evidence_number(const struct evidence *e, enum evidence_kind kind)
{
	switch (kind) {
	case EVIDENCE_MSS:
		return e->syn.mss;
	case EVIDENCE_DISTANCE:
		return signature_distance(&e->syn);
	case EVIDENCE_EARLY_TALKER:
		return e->early_talker;
	case EVIDENCE_PIPELINING:
		return e->pipelining;
	case EVIDENCE_NON_SMTP:
		return e->non_smtp;
	case EVIDENCE_BARE_NEWLINE:
		return e->bare_newline;
	case EVIDENCE_SYN_RETRANSMITS:
		return e->syn_retransmits;
	case EVIDENCE_SESSION_ERRORS:
		return e->session_errors;
	case EVIDENCE_SESSION_RECIPIENTS:
		return e->session_recipients;
	case EVIDENCE_SESSION_MESSAGES:
		return e->session_messages;
	case EVIDENCE_SESSION_UNKNOWN_USERS:
		return e->session_unknown_users;
	case EVIDENCE_CLIENT_SESSIONS:
		return e->client_sessions;
	case EVIDENCE_NETWORK_SESSIONS:
		return e->network_sessions;
	case EVIDENCE_STACK_SESSIONS:
		return e->stack_sessions;
	case EVIDENCE_CLIENT_RATE:
		return e->client_rate;
	case EVIDENCE_REPUTATION_NUMBER:
		return e->reputation_number;
	case EVIDENCE_PROVEN:
		return e->is_proven;
	case EVIDENCE_ASN:
		return e->asn;
	case EVIDENCE_DNSBL:
		return e->dnsbl;
	case EVIDENCE_DNSWL:
		return e->dnswl;
	case EVIDENCE_PTR:
	case EVIDENCE_SCORE:
	case EVIDENCE_SOURCES:
	case EVIDENCE_NETWORK:
	case EVIDENCE_LISTED:
	case EVIDENCE_SYN:
	case EVIDENCE_STACK:
	case EVIDENCE_FAMILY:
	case EVIDENCE_LABEL:
	case EVIDENCE_LISTENER:
	case EVIDENCE_JA4:
	case EVIDENCE_DIALECT:
	case EVIDENCE_REPUTATION:
	case EVIDENCE_COUNT:
		break;
	}
	return 0;
}

/* Returns the digits' number. */
static size_t
put_number(char *out, uint8_t number)
{
	size_t len = 0;

	if (number >= 100)
		out[len++] = (char)('0' + number / 100);
	if (number >= 10)
		out[len++] = (char)('0' + number / 10 % 10);
	out[len++] = (char)('0' + number % 10);
	return len;
}

size_t
evidence_lists_text(const struct evidence *e, char out[EVIDENCE_LISTS_TEXT_CAP])
{
	const size_t around = sizeof(",:255");
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < EVIDENCE_LISTS_CAP; i++) {
		size_t name_len;

		if ((e->lists_known >> i & 1) == 0)
			continue;
		name_len = strlen(e->list_names[i]);
		if (len + name_len + around > EVIDENCE_LISTS_TEXT_CAP)
			break;
		if (len > 0)
			out[len++] = ',';
		memcpy(out + len, e->list_names[i], name_len);
		len += name_len;
		out[len++] = ':';
		len += put_number(out + len, e->list_weights[i]);
		out[len] = '\0';
	}
	return len;
}
