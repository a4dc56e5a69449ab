#include "proxy/daemon/doctor_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct mend_row {
	enum doctor_mend what;
	enum doctor_software software; /* UNKNOWN: whatever it is */
	const char *line;
};

/* clang-format off */
static const struct mend_row rows[] = {
	{MEND_REFUSED, DOCTOR_UNKNOWN,
	 "start the MTA, or say where it listens in tarry.ini: [mta] address "
	 "= ADDRESS:PORT"},
	{MEND_REFUSED, DOCTOR_UNKNOWN,
	 "who listens there: ss -ltnp 'sport = :{port}'"},
	{MEND_NO_ANSWER, DOCTOR_UNKNOWN,
	 "look for a firewall in between, and at mta.address in tarry.ini"},
	{MEND_PROXY, DOCTOR_POSTFIX,
	 "Postfix, master.cf: {address} inet n - y - - smtpd "
	 "-o smtpd_upstream_proxy_protocol=haproxy"},
	{MEND_PROXY, DOCTOR_EXIM,
	 "Exim that lists PROXY in `exim -bV` (in Debian: "
	 "exim4-daemon-heavy), main section: hosts_proxy = {self}"},
	{MEND_PROXY, DOCTOR_OPENSMTPD,
	 "OpenSMTPD, smtpd.conf: listen on {ip} port {port} proxy-v2"},
	{MEND_PROXY, DOCTOR_SENDMAIL,
	 "sendmail, which knows no PROXY header: tarry.ini: [mta] "
	 "client_address = transparent, and what TRANSPARENT in tarryd(8) "
	 "says"},
	{MEND_HEADER, DOCTOR_UNKNOWN,
	 "tarry.ini: [mta] client_address = {header}"},
	{MEND_RELAY, DOCTOR_POSTFIX,
	 "Postfix, main.cf: smtpd_relay_restrictions = permit_mynetworks, "
	 "permit_sasl_authenticated, reject_unauth_destination"},
	{MEND_RELAY, DOCTOR_POSTFIX,
	 "Postfix, main.cf: mynetworks = your own networks alone"},
	{MEND_RELAY, DOCTOR_EXIM,
	 "Exim, the ACL of acl_smtp_rcpt: deny what is neither in "
	 "+local_domains nor +relay_to_domains nor from +relay_from_hosts"},
	{MEND_RELAY, DOCTOR_OPENSMTPD,
	 "OpenSMTPD, smtpd.conf: no `match from any for any`; for senders of "
	 "your own: match from local for any action .., match auth from any "
	 "for any action .."},
	{MEND_RELAY, DOCTOR_SENDMAIL,
	 "sendmail: no FEATURE(`promiscuous_relay') and the like in "
	 "sendmail.mc, RELAY in /etc/mail/access for your own networks alone"},
	{MEND_RELAY_SELF, DOCTOR_UNKNOWN,
	 "let the MTA see the client: tarry.ini: [mta] client_address = "
	 "proxy_v2, and in the MTA:"},
	{MEND_RELAY_SELF, DOCTOR_POSTFIX,
	 "Postfix, master.cf: {address} inet n - y - - smtpd "
	 "-o smtpd_upstream_proxy_protocol=haproxy"},
	{MEND_RELAY_SELF, DOCTOR_EXIM,
	 "Exim that lists PROXY in `exim -bV` (in Debian: "
	 "exim4-daemon-heavy), main section: hosts_proxy = {self}"},
	{MEND_RELAY_SELF, DOCTOR_OPENSMTPD,
	 "OpenSMTPD, smtpd.conf: listen on {ip} port {port} proxy-v2"},
	{MEND_RELAY_SELF, DOCTOR_SENDMAIL,
	 "sendmail, which knows no PROXY header: client_address = transparent "
	 "instead, and what TRANSPARENT in tarryd(8) says"},
	{MEND_RELAY_SELF, DOCTOR_UNKNOWN,
	 "or let it trust nobody for coming from {self}: Postfix mynetworks, "
	 "Exim relay_from_hosts, OpenSMTPD `match from local`"},
	{MEND_STARTTLS, DOCTOR_POSTFIX,
	 "Postfix, main.cf: smtpd_tls_security_level = may and "
	 "smtpd_tls_chain_files = KEY.pem, CERTIFICATES.pem"},
	{MEND_STARTTLS, DOCTOR_EXIM,
	 "Exim, main section: tls_advertise_hosts = *, tls_certificate = "
	 "CERTIFICATES.pem, tls_privatekey = KEY.pem"},
	{MEND_STARTTLS, DOCTOR_OPENSMTPD,
	 "OpenSMTPD, smtpd.conf: pki NAME cert \"CERTIFICATES.pem\", pki NAME "
	 "key \"KEY.pem\", and `tls pki NAME` behind `listen on ..`"},
	{MEND_STARTTLS, DOCTOR_SENDMAIL,
	 "sendmail, sendmail.mc: define(`confSERVER_CERT', "
	 "`CERTIFICATES.pem') define(`confSERVER_KEY', `KEY.pem') "
	 "define(`confCACERT', `CERTIFICATES.pem') define(`confCACERT_PATH', "
	 "`/etc/ssl/certs')"},
	{MEND_CERTIFICATE, DOCTOR_POSTFIX,
	 "Postfix: renew the files of `postconf smtpd_tls_chain_files "
	 "smtpd_tls_cert_file`, then: postfix reload"},
	{MEND_CERTIFICATE, DOCTOR_EXIM,
	 "Exim: renew the file of `exim -bP tls_certificate`; new sessions "
	 "read it again"},
	{MEND_CERTIFICATE, DOCTOR_OPENSMTPD,
	 "OpenSMTPD: renew the file of `pki .. cert` in smtpd.conf, then "
	 "restart smtpd"},
	{MEND_CERTIFICATE, DOCTOR_SENDMAIL,
	 "sendmail: renew the file of ServerCertFile in sendmail.cf, then "
	 "restart it"},
	{MEND_LIMIT, DOCTOR_UNKNOWN,
	 "tarry.ini: [mta] max_connections = {number}, or raise the MTA's "
	 "limit above max_connections:"},
	{MEND_LIMIT, DOCTOR_POSTFIX,
	 "Postfix: the column maxproc of the line {address} in master.cf, "
	 "else default_process_limit in main.cf"},
	{MEND_LIMIT, DOCTOR_EXIM,
	 "Exim, main section: smtp_accept_max, smtp_accept_max_per_host, "
	 "smtp_load_reserve"},
	{MEND_LIMIT, DOCTOR_OPENSMTPD,
	 "OpenSMTPD: its limit of descriptors (ulimit -n)"},
	{MEND_LIMIT, DOCTOR_SENDMAIL,
	 "sendmail, sendmail.mc: confMAX_DAEMON_CHILDREN, "
	 "confCONNECTION_RATE_THROTTLE, confREFUSE_LA"},
	{MEND_CLIENT_LIMIT, DOCTOR_POSTFIX,
	 "Postfix, main.cf: smtpd_client_connection_count_limit = {number}, "
	 "which is 50 if not set"},
	{MEND_CLIENT_LIMIT, DOCTOR_EXIM,
	 "Exim, main section: smtp_accept_max_per_host = {number}, which is "
	 "no limit if not set"},
	{MEND_CLIENT_LIMIT, DOCTOR_SENDMAIL,
	 "sendmail: ClientConn: in /etc/mail/access = {number}, if "
	 "sendmail.mc has FEATURE(`conncontrol')"},
	{MEND_PATIENCE, DOCTOR_UNKNOWN,
	 "tarry.ini: [mta] patience = {number}s, or let the MTA wait longer:"},
	{MEND_PATIENCE, DOCTOR_POSTFIX,
	 "Postfix, main.cf: smtpd_timeout"},
	{MEND_PATIENCE, DOCTOR_EXIM,
	 "Exim, main section: smtp_receive_timeout"},
	{MEND_PATIENCE, DOCTOR_SENDMAIL,
	 "sendmail, sendmail.mc: confTO_COMMAND"},
};
/* clang-format on */

struct out {
	char *text;
	size_t len;
	size_t cap;
};

static void
put(struct out *o, const char *text, size_t len)
{
	if (len > o->cap - 1 - o->len)
		len = o->cap - 1 - o->len;
	memcpy(o->text + o->len, text, len);
	o->len += len;
	o->text[o->len] = '\0';
}

/* What a `{name}` stands for. */
static void
put_value(struct out *o, const struct doctor_advice *a, const char *name,
	  size_t len)
{
	char text[ADDR_TEXT_CAP] = "the address of tarryd's host";

	if (strncmp(name, "address", len) == 0)
		(void)addr_text(&a->address, text, sizeof(text));
	else if (strncmp(name, "ip", len) == 0)
		(void)addr_ip_text(&a->address, text, sizeof(text));
	else if (strncmp(name, "port", len) == 0)
		(void)snprintf(text, sizeof(text), "%u", a->address.port);
	else if (strncmp(name, "number", len) == 0)
		(void)snprintf(text, sizeof(text), "%" PRIu32, a->number);
	else if (strncmp(name, "header", len) == 0)
		(void)snprintf(text, sizeof(text), "%s", a->header);
	else if (a->self.family != 0)
		(void)addr_ip_text(&a->self, text, sizeof(text));
	put(o, text, strlen(text));
}

static void
put_line(struct out *o, const struct doctor_advice *a, const char *line)
{
	if (o->len > 0)
		put(o, "\n", 1);
	while (*line != '\0') {
		size_t plain = strcspn(line, "{");
		size_t len;

		put(o, line, plain);
		line += plain;
		if (*line == '\0')
			break;
		len = strcspn(line, "}");
		put_value(o, a, line + 1, len - 1);
		line += len + 1;
	}
}

void
doctor_mend(const struct doctor_advice *advice, enum doctor_mend what,
	    char out[DOCTOR_MEND_CAP])
{
	struct out o = {.text = out, .cap = DOCTOR_MEND_CAP};

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct mend_row *row = &rows[i];

		if (row->what == what && (row->software == DOCTOR_UNKNOWN ||
					  advice->software == DOCTOR_UNKNOWN ||
					  row->software == advice->software))
			put_line(&o, advice, row->line);
	}
}

static bool
has_word(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++)
		if (strncasecmp(text + i, word, n) == 0)
			return true;
	return false;
}

enum doctor_software
doctor_software_of(const char *text, size_t len)
{
	if (has_word(text, len, "opensmtpd"))
		return DOCTOR_OPENSMTPD;
	if (has_word(text, len, "postfix"))
		return DOCTOR_POSTFIX;
	if (has_word(text, len, "exim"))
		return DOCTOR_EXIM;
	if (has_word(text, len, "sendmail"))
		return DOCTOR_SENDMAIL;
	return DOCTOR_UNKNOWN;
}
