/*
 * Texts of the test session; apart from it because they are tested by rows.
 */
#include "proxy/relay/mta_probe_text.h"

#include <string.h>

#include "proxy/config/config.h"
#include "proxy/daemon/log.h"

#define LINE_CAP 100
/* "250-" */
#define CODE_LEN 4

static const char *const step_names[] = {
    "greeting",	      "silence",
    "answer to EHLO", "answer to a second EHLO",
    "answer to QUIT", "answer to QUIT",
};

const char *
mta_probe_step_name(unsigned step)
{
	size_t count = sizeof(step_names) / sizeof(step_names[0]);

	return step_names[step < count ? step : 0];
}

void
mta_probe_name(const char *text, size_t len, char *name, size_t cap)
{
	size_t n = 0;

	name[0] = '\0';
	if (len <= CODE_LEN)
		return;
	text += CODE_LEN;
	len -= CODE_LEN;
	while (n < len && text[n] > ' ' && text[n] <= '~')
		n++;
	/* The name must end with a blank or the line's end, not with junk. */
	if (n == 0 || n == len || n >= cap ||
	    (text[n] != ' ' && text[n] != '\r' && text[n] != '\n'))
		return;
	memcpy(name, text, n);
	name[n] = '\0';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
starts_with(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);
	size_t i;

	if (len <= n)
		return false;
	for (i = 0; i < n; i++)
		if (lower(text[i]) != lower(word[i]))
			return false;
	return text[n] == ' ' || text[n] == '\r' || text[n] == '\n';
}

bool
mta_probe_has_keyword(const char *text, size_t len, const char *keyword)
{
	while (len > CODE_LEN) {
		const char *end = memchr(text, '\n', len);
		size_t line = end != NULL ? (size_t)(end - text) + 1 : len;

		if (line > CODE_LEN &&
		    starts_with(text + CODE_LEN, line - CODE_LEN, keyword))
			return true;
		text += line;
		len -= line;
	}
	return false;
}

size_t
mta_probe_line(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && n < LINE_CAP && text[n] != '\r' && text[n] != '\n' &&
	       text[n] != '\0')
		n++;
	return n;
}

static void
say_lines(const struct config_mta *mta, const struct addr *self)
{
	char address[ADDR_TEXT_CAP];
	char ip[ADDR_TEXT_CAP];
	char self_ip[ADDR_TEXT_CAP];

	(void)addr_text(&mta->address, address, sizeof(address));
	(void)addr_ip_text(&mta->address, ip, sizeof(ip));
	(void)addr_ip_text(self, self_ip, sizeof(self_ip));
	log_say(LOG_LEVEL_ERROR,
		"the MTA must expect the PROXY header on %s and trust nobody "
		"for coming from this host. Postfix, master.cf: "
		"%s inet n - y - - smtpd "
		"-o smtpd_upstream_proxy_protocol=haproxy",
		address, address);
	/* Debian's exim4-daemon-light does not know the option. */
	log_say(LOG_LEVEL_ERROR,
		"Exim that lists PROXY in `exim -bV` (in Debian: "
		"exim4-daemon-heavy), main section: hosts_proxy = %s",
		self_ip);
	log_say(LOG_LEVEL_ERROR,
		"OpenSMTPD, smtpd.conf: listen on %s port %u proxy-v2", ip,
		(unsigned)mta->address.port);
}

void
mta_probe_say_failure(const struct config_mta *mta, const struct addr *self,
		      const char *why)
{
	char address[ADDR_TEXT_CAP];

	(void)addr_text(&mta->address, address, sizeof(address));
	log_say(LOG_LEVEL_ERROR,
		"the MTA at %s failed the test session: %s. Clients are "
		"treated as if it were unreachable until it passes",
		address, why);
	if (self == NULL)
		return;
	if (mta->client_address == CLIENT_ADDRESS_V1 ||
	    mta->client_address == CLIENT_ADDRESS_V2)
		say_lines(mta, self);
	else
		log_say(LOG_LEVEL_ERROR,
			"mta.client_address is %s: an MTA that waits for "
			"the PROXY header stays silent or closes; then set "
			"proxy_v2",
			mta->client_address == CLIENT_ADDRESS_NONE
			    ? "none"
			    : "transparent");
}
