/*
 * Exim's main log: `DATE TIME [PID] ID <= SENDER H=NAME (HELO) [ADDRESS]:PORT
 * ..`, and the same host fields before `rejected`. Ports need log_selector =
 * +incoming_port.
 *
 * What a client says of itself stands before its address. It can not look
 * like one, unless helo_accept_junk_hosts lets it say anything; so a line in
 * which an address might stand at two places is passed over.
 */
#include <string.h>

#include "proxy/ctl/follow.h"

#define DIGITS "0123456789"

static bool
is_like(const char *text, const char *form)
{
	for (; *form != '\0'; form++, text++) {
		bool is_digit = *text >= '0' && *text <= '9';

		if (*form == '0' ? !is_digit : *text != *form)
			return false;
	}
	return true;
}

/* Behind `2026-11-23 02:00:00.123 +0100 [4711] `, perhaps with what syslog
 * puts before it; NULL: it is none of Exim's lines. */
static const char *
behind_date(const char *line)
{
	const char *at = line;

	if (!is_like(at, "0000-00-00 00:00:00")) {
		const char *tag = strstr(line, "]: ");

		at = strstr(line, "exim");
		if (at == NULL || tag == NULL || tag < at ||
		    memchr(at, ' ', (size_t)(tag - at)) != NULL)
			return NULL;
		at = tag + 3;
	}
	if (is_like(at, "0000-00-00 00:00:00")) {
		at += strlen("0000-00-00 00:00:00");
		if (*at == '.')
			at += 1 + strspn(at + 1, DIGITS);
		if (is_like(at, " +0000 ") || is_like(at, " -0000 "))
			at += strlen(" +0000");
		at = follow_behind(at, " ");
	}
	if (at != NULL && *at == '[') { /* the process */
		at += 1 + strspn(at + 1, DIGITS);
		at = follow_behind(at, "] ");
	}
	return at;
}

/* Behind the sender: a local part in quotes may hold anything. */
static const char *
behind_sender(const char *text)
{
	bool is_quoted = false;

	for (; *text != '\0' && (is_quoted || *text != ' '); text++) {
		if (is_quoted && *text == '\\' && text[1] != '\0')
			text++;
		else if (*text == '"')
			is_quoted = !is_quoted;
	}
	return text;
}

/*
 * `H=NAME (HELO) [ADDRESS]:PORT`: what is behind it, or NULL. The name is
 * from the DNS and has no blank; each of the first two may be missing.
 */
static const char *
host(struct follow *f, const char *text, char who[ADDR_TEXT_CAP])
{
	const char *at = follow_behind(text, "H=");

	if (at == NULL)
		return NULL;
	if (*at != '(' && *at != '[') {
		at = strchr(at, ' ');
		at = at != NULL ? at + 1 : "";
	}
	if (*at == '(') {
		at = strstr(at, ") [");
		at = at != NULL ? at + 2 : "";
	}
	at = follow_client(f, at, who);
	if (at == NULL || (*at != ' ' && *at != '\0') ||
	    strstr(at, ") [") != NULL)
		return NULL;
	return at;
}

static const char *
verdict_of_content(const char *text)
{
	size_t len = strlen(text);

	if (follow_says(text, len, follow_virus_words))
		return "virus";
	if (follow_says(text, len, follow_spam_words))
		return "spam";
	return "rejected";
}

/* `RCPT <..>: Unrouteable address`, `after DATA: ..`: Exim's own words, and
 * those of the configuration, behind the address. */
static const char *
verdict_of_stage(const char *stage)
{
	static const char *const nobody[] = {"unknown user", "user unknown",
					     "unrouteable", "no such", NULL};
	const char *rcpt = follow_behind(stage, "RCPT <");

	if (rcpt != NULL) {
		rcpt = follow_address(rcpt);
		return rcpt != NULL && follow_says(rcpt, strlen(rcpt), nobody)
			   ? "unknown_user"
			   : "rejected";
	}
	if (follow_starts(stage, "after DATA") ||
	    follow_starts(stage, "during MIME") ||
	    follow_starts(stage, "by local_scan"))
		return verdict_of_content(stage);
	return "rejected";
}

/* Behind `H=..`: fields, `F=<SENDER>` and what was refused. */
static void
on_fields(struct follow *f, const char *id, const char *who, const char *at)
{
	while (at != NULL && *at == ' ') {
		const char *field = at + 1;
		const char *refusal = follow_behind(field, "rejected ");

		if (refusal != NULL) {
			follow_tell(f, verdict_of_stage(refusal), who, id);
			return;
		}
		if (follow_starts(field, "temporarily rejected ")) {
			follow_tell(f, "deferred", who, id);
			return;
		}
		if (follow_starts(field, "F=<"))
			at = follow_address(field + strlen("F=<"));
		else if (strcspn(field, " =") == strcspn(field, "="))
			at = field + strcspn(field, " ");
		else
			return;
	}
}

static void
on_arrival(struct follow *f, const char *id, const char *text)
{
	const char *at = behind_sender(text);
	char who[ADDR_TEXT_CAP];
	const char *bounce = follow_behind(at, " R=");

	if (bounce != NULL)
		at = bounce + strcspn(bounce, " ");
	if (*at == ' ' && host(f, at + 1, who) != NULL)
		follow_learn(f, id, who);
}

static void
on_mail(struct follow *f, const char *id, const char *text)
{
	const char *client = follow_whose(f, id);
	const char *arrival = follow_behind(text, "<= ");
	char who[ADDR_TEXT_CAP];

	if (arrival != NULL) {
		on_arrival(f, id, arrival);
	} else if (follow_starts(text, "H=")) {
		on_fields(f, id, who, host(f, text, who));
	} else if (strcmp(text, "Completed") == 0) {
		follow_forget(f, id);
	} else if (client == NULL || follow_starts(text, "=> :blackhole:")) {
		return;
	} else if (follow_starts(text, "=> ") || follow_starts(text, "-> ") ||
		   follow_starts(text, ">> ")) {
		follow_tell(f, "delivered", client, id);
	} else if (follow_starts(text, "== ")) {
		follow_tell(f, "deferred", client, id);
	} else if (follow_starts(text, "** ")) {
		follow_tell(f, "bounced", client, id);
	}
}

/* Three words of letters and digits. */
static bool
is_mail_id(const char *text, size_t len)
{
	size_t dashes = 0;

	for (size_t i = 0; i < len; i++)
		dashes += text[i] == '-';
	return dashes == 2 && (len == 16 || len == 23);
}

void
follow_exim_line(struct follow *f, const char *line)
{
	const char *at = behind_date(line);
	size_t len = at != NULL ? strcspn(at, " ") : 0;
	char id[FOLLOW_ID_CAP];
	char who[ADDR_TEXT_CAP];

	if (len == 0)
		return;
	if (follow_starts(at, "H="))
		on_fields(f, NULL, who, host(f, at, who));
	else if (at[len] == ' ' && is_mail_id(at, len) &&
		 follow_id(id, at, len))
		on_mail(f, id, at + len + 1);
}
