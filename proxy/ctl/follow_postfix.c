/*
 * Postfix's log: `DATE HOST postfix/smtpd[PID]: ID: ..`, in either form of
 * syslog's date or in Postfix's own file. What stands before the first `]: `
 * is of syslog, and no peer can write there; it says which of Postfix's
 * programs speaks, and what may come behind it. Ports need
 * smtpd_client_port_logging = yes; addresses are in quotes where they must be
 * since Postfix 3.5 (info_log_addr_form).
 */
#include <string.h>

#include "proxy/ctl/follow.h"
#include "tarry/outcome.h"

/* Who speaks. */
enum role { NOBODY, ENTRANCE, CLEANUP, DELIVERY, QUEUE };

static const struct {
	const char *name;
	enum role role;
} roles[] = {
    {"smtpd", ENTRANCE},   {"postscreen", ENTRANCE}, {"cleanup", CLEANUP},
    {"smtp", DELIVERY},	   {"lmtp", DELIVERY},	     {"local", DELIVERY},
    {"virtual", DELIVERY}, {"pipe", DELIVERY},	     {"error", DELIVERY},
    {"retry", DELIVERY},   {"discard", DELIVERY},    {"qmgr", QUEUE},
    {"nqmgr", QUEUE},
};

/* The program of `.. postfix/submission/smtpd[4711`, up to `end`. */
static enum role
role_of(const char *line, const char *end)
{
	const char *pid = end;
	const char *name;

	while (pid > line && pid[-1] >= '0' && pid[-1] <= '9')
		pid--;
	if (pid == end || pid == line || pid[-1] != '[')
		return NOBODY;
	name = --pid;
	while (name > line && name[-1] != '/' && name[-1] != ' ')
		name--;
	if (name == line || name[-1] != '/')
		return NOBODY;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strlen(roles[i].name) == (size_t)(pid - name) &&
		    follow_starts(name, roles[i].name))
			return roles[i].role;
	return NOBODY;
}

/* Where `NAME[ADDRESS]` begins its bracket, or NULL; no name has a blank. */
static const char *
behind_name(const char *text)
{
	size_t len = strcspn(text, " [");

	return text[len] == '[' ? text + len : NULL;
}

/* "5.7.1 text" or "text": a filter's answer without a code. */
static const char *
verdict_of_content(const char *text, size_t len)
{
	if (follow_says(text, len, follow_virus_words))
		return "virus";
	if (follow_starts(text, "5.7.") || follow_starts(text, "5.6.") ||
	    follow_says(text, len, follow_spam_words))
		return "spam";
	return "rejected";
}

static bool
is_code(const char *reply)
{
	return (reply[0] == '4' || reply[0] == '5') &&
	       strspn(reply, "0123456789") == 3 && reply[3] == ' ';
}

/* `550 5.1.1 <..>: ..` or `5.7.1 ..`; its text ends where Postfix goes on
 * with the envelope. */
static const char *
verdict_of_reply(const char *stage, const char *reply)
{
	const char *end = strstr(reply, "; from=<");
	const char *text = is_code(reply) ? reply + 4 : reply;
	size_t len =
	    end != NULL && end > text ? (size_t)(end - text) : strlen(text);

	if (reply[0] == '4')
		return "deferred";
	if (follow_starts(stage, "END-OF-MESSAGE "))
		return verdict_of_content(text, len);
	if (follow_starts(stage, "RCPT ") &&
	    outcome_of(OUTCOME_AT_RECIPIENT, 550, text, len) ==
		OUTCOME_UNKNOWN_USER &&
	    (follow_starts(text, "5.1.") || follow_starts(text, "5.4.1")))
		return "unknown_user";
	return "rejected";
}

/* `RCPT from unknown[192.0.2.1]:4711: 550 5.1.1 <..>: ..` */
static void
on_reject(struct follow *f, const char *id, const char *stage)
{
	size_t word = strspn(stage, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
	const char *name = follow_behind(stage + word, " from ");
	const char *client = name != NULL ? behind_name(name) : NULL;
	char who[ADDR_TEXT_CAP];
	const char *reply =
	    client != NULL ? follow_client(f, client, who) : NULL;

	reply = reply != NULL ? follow_behind(reply, ": ") : NULL;
	if (word == 0 || reply == NULL)
		return;
	follow_tell(f, verdict_of_reply(stage, reply), who, id);
}

/* What is behind any of the words for a refusal, or NULL. */
static const char *
behind_refusal(const char *text)
{
	static const char *const words[] = {
	    "reject: ", "milter-reject: ", "proxy-reject: "};
	const char *at = NULL;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && at == NULL;
	     i++)
		at = follow_behind(text, words[i]);
	return at;
}

/* `client=NAME[ADDRESS]:PORT, ..`; a mail that comes back from a filter has
 * its first client behind that. */
static void
on_client(struct follow *f, const char *id, const char *text)
{
	char who[ADDR_TEXT_CAP];
	char first[ADDR_TEXT_CAP];
	const char *at = behind_name(text);
	const char *orig;

	at = at != NULL ? follow_client(f, at, who) : NULL;
	if (at == NULL)
		return;
	orig = follow_behind(at, ", orig_queue_id=");
	if (orig != NULL)
		at = orig + strcspn(orig, ", ");
	orig = follow_behind(at, ", orig_client=");
	orig = orig != NULL ? behind_name(orig) : NULL;
	if (orig != NULL && follow_client(f, orig, first) != NULL)
		follow_learn(f, id, first);
	else
		follow_learn(f, id, who);
}

static void
on_entrance(struct follow *f, const char *id, const char *text)
{
	const char *refusal = behind_refusal(text);

	if (refusal != NULL)
		on_reject(f, id, refusal);
	else if (id != NULL && follow_starts(text, "client="))
		on_client(f, id, text + strlen("client="));
}

/* A filter's refusal, or one of header_checks: that shows the header, in
 * which a peer may say anything, so whose it was is looked up. */
static void
on_cleanup(struct follow *f, const char *id, const char *text)
{
	const char *refusal = behind_refusal(text);

	if (refusal == NULL || id == NULL)
		return;
	if (follow_starts(refusal, "header ") ||
	    follow_starts(refusal, "body "))
		follow_tell(f, "spam", follow_whose(f, id), id);
	else
		on_reject(f, id, refusal);
}

/* Behind `NAME=VALUE, `, or NULL. Values here have no blanks. */
static const char *
behind_field(const char *text)
{
	size_t len = strcspn(text, " ,");

	return follow_behind(text + len, ", ");
}

/*
 * `to=<..>, orig_to=<..>, relay=.., delay=.., dsn=2.0.0, status=sent (..)`:
 * the addresses are chosen by peers, and the text in brackets by those that
 * the mail went to.
 */
static void
on_delivery(struct follow *f, const char *id, const char *text)
{
	const char *client = follow_whose(f, id);
	const char *at = follow_behind(text, "to=<");
	const char *dsn;

	at = at != NULL ? follow_address(at) : NULL;
	at = at != NULL ? follow_behind(at, ", ") : NULL;
	if (at != NULL && follow_starts(at, "orig_to=<")) {
		at = follow_address(at + strlen("orig_to=<"));
		at = at != NULL ? follow_behind(at, ", ") : NULL;
	}
	while (at != NULL && !follow_starts(at, "dsn="))
		at = behind_field(at);
	dsn = at;
	at = at != NULL ? behind_field(at) : NULL;
	if (at == NULL || client == NULL)
		return;
	if (follow_starts(at, "status=sent "))
		follow_tell(f, "delivered", client, id);
	else if (follow_starts(at, "status=deferred "))
		follow_tell(f, "deferred", client, id);
	else if (follow_starts(at, "status=bounced "))
		follow_tell(f,
			    follow_starts(dsn, "dsn=5.1.1,") ? "unknown_user"
							     : "bounced",
			    client, id);
}

static void
on_queue(struct follow *f, const char *id, const char *text)
{
	const char *client = follow_whose(f, id);
	const char *at = follow_behind(text, "from=<");

	at = at != NULL ? follow_address(at) : NULL;
	if (strcmp(text, "removed") == 0)
		follow_forget(f, id);
	else if (at != NULL && client != NULL &&
		 follow_starts(at, ", status=expired,"))
		follow_tell(f, "bounced", client, id);
}

static void
on_role(struct follow *f, enum role role, const char *id, const char *text)
{
	switch (role) {
	case NOBODY:
		return;
	case ENTRANCE:
		on_entrance(f, id, text);
		return;
	case CLEANUP:
		on_cleanup(f, id, text);
		return;
	case DELIVERY:
		if (id != NULL)
			on_delivery(f, id, text);
		return;
	case QUEUE:
		if (id != NULL)
			on_queue(f, id, text);
		return;
	}
}

void
follow_postfix_line(struct follow *f, const char *line)
{
	const char *tag = strstr(line, "]: ");
	enum role role = tag != NULL ? role_of(line, tag) : NOBODY;
	char id[FOLLOW_ID_CAP];
	const char *end;

	if (role == NOBODY)
		return;
	tag += 3;
	end = strstr(tag, ": ");
	if (end == NULL)
		return;
	if (follow_starts(tag, "NOQUEUE: "))
		on_role(f, role, NULL, end + 2);
	else if (follow_id(id, tag, (size_t)(end - tag)))
		on_role(f, role, id, end + 2);
}
