#include "tests/sim/mta_model.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EHLO_REPLY                                                             \
	"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n"        \
	"250-CHUNKING\r\n250 8BITMIME\r\n"

static void
say(struct mta_model *m, enum smtp_verb verb, const char *text)
{
	m->say(m, verb, text, strlen(text));
}

static bool
is_verb(const struct mta_model *m, const char *verb)
{
	return strncasecmp(m->line, verb, strlen(verb)) == 0;
}

static void
hear_mail(struct mta_model *m)
{
	m->rcpts = m->rcpts_ok = 0;
	m->null_sender = strstr(m->line, "<>") != NULL;
	say(m, SMTP_MAIL, "250 2.1.0 sender fine\r\n");
}

static void
hear_rcpt(struct mta_model *m)
{
	m->rcpts++;
	if (m->refuses_rcpt && m->rcpts % 2 == 0) {
		say(m, SMTP_RCPT,
		    m->rcpts % 4 == 0 ? "451 4.7.1 later\r\n"
				      : "550 5.1.1 no such user\r\n");
		return;
	}
	m->rcpts_ok++;
	say(m, SMTP_RCPT, "250 2.1.5 recipient fine\r\n");
}

static void
hear_data(struct mta_model *m)
{
	if (m->rcpts_ok == 0) {
		say(m, SMTP_DATA, "503 5.5.1 no valid recipients\r\n");
		return;
	}
	m->state = MTA_DATA;
	m->tail = 0x0d0a;
	say(m, SMTP_DATA, "354 go ahead\r\n");
}

static void
end_message(struct mta_model *m, enum smtp_verb verb)
{
	unsigned i;

	m->state = MTA_COMMANDS;
	if (m->prdr && m->rcpts_ok > 1) {
		say(m, verb, "353 one for each now\r\n");
		for (i = 0; i < m->rcpts_ok; i++)
			say(m, verb, "250 2.1.5 this one\r\n");
	}
	say(m, verb, "250 2.0.0 queued\r\n");
}

static void
hear_bdat(struct mta_model *m)
{
	m->octets = strtoull(m->line + 5, NULL, 10);
	m->is_last = strstr(m->line, "LAST") != NULL;
	m->state = MTA_BDAT;
	if (m->octets == 0) {
		m->state = MTA_COMMANDS;
		if (m->is_last)
			end_message(m, SMTP_BDAT);
		else
			say(m, SMTP_BDAT, "250 2.0.0 nothing taken\r\n");
	}
}

static void
hear_auth(struct mta_model *m)
{
	if (is_verb(m, "AUTH LOGIN")) {
		m->state = MTA_AUTH;
		m->octets = 2;
		say(m, SMTP_AUTH, "334 VXNlcm5hbWU6\r\n");
	} else {
		say(m, SMTP_AUTH, "235 2.7.0 welcome\r\n");
	}
}

static void
hear_auth_line(struct mta_model *m)
{
	if (--m->octets > 0) {
		say(m, SMTP_AUTH_LINE, "334 UGFzc3dvcmQ6\r\n");
		return;
	}
	m->state = MTA_COMMANDS;
	say(m, SMTP_AUTH_LINE, "535 5.7.8 no\r\n");
}

static void
hear_line(struct mta_model *m)
{
	if (is_verb(m, "EHLO"))
		say(m, SMTP_EHLO, EHLO_REPLY);
	else if (is_verb(m, "HELO"))
		say(m, SMTP_HELO, "250 mx.example.org\r\n");
	else if (is_verb(m, "MAIL"))
		hear_mail(m);
	else if (is_verb(m, "RCPT"))
		hear_rcpt(m);
	else if (is_verb(m, "DATA"))
		hear_data(m);
	else if (is_verb(m, "BDAT"))
		hear_bdat(m);
	else if (is_verb(m, "AUTH"))
		hear_auth(m);
	else if (is_verb(m, "RSET"))
		say(m, SMTP_RSET, "250 2.0.0 reset\r\n");
	else if (is_verb(m, "NOOP"))
		say(m, SMTP_NOOP, "250 2.0.0 fine\r\n");
	else if (is_verb(m, "VRFY"))
		say(m, SMTP_VRFY, "252 2.0.0 perhaps\r\n");
	else if (is_verb(m, "STARTTLS") && m->refuses_tls)
		say(m, SMTP_STARTTLS, "502 5.5.1 not here\r\n");
	else if (is_verb(m, "STARTTLS")) {
		m->state = MTA_TLS;
		say(m, SMTP_STARTTLS, "220 2.0.0 ready\r\n");
	} else if (is_verb(m, "QUIT")) {
		m->state = MTA_DEAF;
		say(m, SMTP_QUIT, "221 2.0.0 bye\r\n");
	} else {
		say(m, SMTP_OTHER, "502 5.5.2 not known here\r\n");
	}
}

/* The last bytes decide; `tail` holds four, the oldest may be forgotten. */
static void
hear_payload(struct mta_model *m, uint8_t byte)
{
	uint64_t last = (uint64_t)m->tail << 8 | byte;

	m->tail = (uint32_t)last;
	if ((last & 0xffffffffff) == 0x0d0a2e0d0a ||
	    (m->takes_bare_lf && (last & 0xffffff) == 0x0a2e0a))
		end_message(m, SMTP_DOT);
}

static void
hear_octet(struct mta_model *m)
{
	if (--m->octets > 0)
		return;
	if (m->is_last) {
		end_message(m, SMTP_BDAT);
		return;
	}
	m->state = MTA_COMMANDS;
	say(m, SMTP_BDAT, "250 2.0.0 chunk taken\r\n");
}

static void
hear_text(struct mta_model *m, uint8_t byte)
{
	if (m->line_len < sizeof(m->line) - 1)
		m->line[m->line_len++] = (char)byte;
	if (byte != '\n')
		return;
	m->line[m->line_len] = '\0';
	m->line_len = 0;
	if (m->state == MTA_AUTH)
		hear_auth_line(m);
	else
		hear_line(m);
}

void
mta_model_hear(struct mta_model *m, const uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		switch (m->state) {
		case MTA_COMMANDS:
		case MTA_AUTH:
			hear_text(m, bytes[i]);
			break;
		case MTA_DATA:
			hear_payload(m, bytes[i]);
			break;
		case MTA_BDAT:
			hear_octet(m);
			break;
		case MTA_TLS:
			say(m, SMTP_OTHER, "\x17\x03"); /* echo of a kind */
			break;
		case MTA_DEAF:
			break;
		}
	}
}

void
mta_model_reset(struct mta_model *m)
{
	m->state = MTA_COMMANDS;
	m->line_len = 0;
	m->rcpts = m->rcpts_ok = 0;
	m->null_sender = false;
}
