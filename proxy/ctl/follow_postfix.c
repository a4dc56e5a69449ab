/*
 * Postfix's log. What stands before the first `]: ` is of syslog, in either
 * form of its date, or of Postfix's own file, and no peer can write there;
 * behind it is the queue id. Ports need smtpd_client_port_logging = yes.
 */
#include <string.h>

#include "proxy/ctl/follow.h"

static bool
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* "550 5.1.1 ..", or what a filter said without a code. */
static const char *
verdict_of_reply(const char *stage, const char *reply)
{
	if (reply[0] == '4')
		return "deferred";
	if (strncmp(reply, "550 5.1.1 ", 10) == 0 || starts(reply, "5.1.1 "))
		return "unknown_user";
	/* Only a filter refuses there what was let in until then. */
	if (starts(stage, "END-OF-MESSAGE"))
		return "spam";
	return "rejected";
}

/* `reject: RCPT from unknown[192.0.2.1]:4711: 550 5.1.1 <..>: ..` */
static void
on_reject(struct follow *f, const char *id, const char *stage)
{
	const char *from = strstr(stage, " from ");
	char client[ADDR_TEXT_CAP];
	const char *reply =
	    from != NULL ? follow_client(f, from + 6, client) : NULL;

	if (reply == NULL || !starts(reply, ": "))
		return;
	follow_tell(f, verdict_of_reply(stage, reply + 2), client, id);
}

/* `to=<..>, relay=.., delay=.., dsn=2.0.0, status=sent (..)`: the address is
 * the sender's to choose, our words stand behind the last of it. */
static void
on_status(struct follow *f, const char *id, const char *text)
{
	const char *dsn = strstr(text, ", dsn=");
	const char *status = dsn != NULL ? strstr(dsn, ", status=") : NULL;
	const char *client = follow_whose(f, id);

	if (status == NULL || client == NULL)
		return;
	status += strlen(", status=");
	if (starts(status, "sent "))
		follow_tell(f, "delivered", client, id);
	else if (starts(status, "deferred "))
		follow_tell(f, "deferred", client, id);
	else if (starts(status, "bounced ") && starts(dsn, ", dsn=5.1.1,"))
		follow_tell(f, "unknown_user", client, id);
	else if (starts(status, "bounced ") || starts(status, "expired "))
		follow_tell(f, "bounced", client, id);
}

static void
on_mail(struct follow *f, const char *id, const char *text)
{
	char client[ADDR_TEXT_CAP];

	if (starts(text, "client=")) {
		if (follow_client(f, text, client) != NULL)
			follow_learn(f, id, client);
	} else if (starts(text, "to=<")) {
		on_status(f, id, text);
	} else if (starts(text, "reject: ")) {
		on_reject(f, id, text + strlen("reject: "));
	} else if (starts(text, "milter-reject: ")) {
		on_reject(f, id, text + strlen("milter-reject: "));
	} else if (strcmp(text, "removed") == 0) {
		follow_forget(f, id);
	}
}

void
follow_postfix_line(struct follow *f, const char *line)
{
	const char *tag = strstr(line, "]: ");
	char id[FOLLOW_ID_CAP];
	const char *end;

	if (tag == NULL)
		return;
	tag += 3;
	if (starts(tag, "NOQUEUE: reject: ")) {
		on_reject(f, NULL, tag + strlen("NOQUEUE: reject: "));
		return;
	}
	if (starts(tag, "NOQUEUE: milter-reject: ")) {
		on_reject(f, NULL, tag + strlen("NOQUEUE: milter-reject: "));
		return;
	}
	end = strstr(tag, ": ");
	if (end != NULL && follow_id(id, tag, (size_t)(end - tag)))
		on_mail(f, id, end + 2);
}
