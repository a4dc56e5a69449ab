/* What the doctor advises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/daemon/doctor_text.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const char *greeting;
	enum doctor_software want;
} greetings[] = {
    {"220 mx ESMTP Postfix (Debian/GNU)\r\n", DOCTOR_POSTFIX},
    {"220 mx ESMTP Exim 4.96\r\n", DOCTOR_EXIM},
    {"220 mx ESMTP OpenSMTPD\r\n", DOCTOR_OPENSMTPD},
    {"220 mx ESMTP Sendmail 8.17.1.9/8.17.1.9; Mon, 23", DOCTOR_SENDMAIL},
    {"220 mx ESMTP POSTFIX\r\n", DOCTOR_POSTFIX},
    {"220 mx ESMTP\r\n", DOCTOR_UNKNOWN},
    {"220 mx ESMTP Postfi", DOCTOR_UNKNOWN},
    {"", DOCTOR_UNKNOWN},
};

static void
software_is_known_by_its_greeting(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(greetings); i++) {
		const char *text = greetings[i].greeting;

		if (doctor_software_of(text, strlen(text)) != greetings[i].want)
			fail_msg("%s", text);
	}
}

static struct doctor_advice
advice_for(enum doctor_software software, const char *mta)
{
	struct doctor_advice a = {
	    .software = software, .header = "proxy_v2", .number = 7};

	assert_true(addr_parse(&a.address, mta, strlen(mta)));
	assert_true(addr_parse_ip(&a.self, "192.0.2.9", 9));
	return a;
}

static const struct {
	const char *label;
	enum doctor_mend what;
	enum doctor_software software;
	const char *mta;
	const char *want; /* all of it */
} rows[] = {
    {"nothing", MEND_NOTHING, DOCTOR_UNKNOWN, "127.0.0.1:25", ""},
    {"Postfix", MEND_PROXY, DOCTOR_POSTFIX, "127.0.0.1:2525",
     "Postfix, master.cf: 127.0.0.1:2525 inet n - y - - smtpd "
     "-o smtpd_upstream_proxy_protocol=haproxy"},
    {"IPv6", MEND_PROXY, DOCTOR_POSTFIX, "[2001:db8::1]:25",
     "Postfix, master.cf: [2001:db8::1]:25 inet n - y - - smtpd "
     "-o smtpd_upstream_proxy_protocol=haproxy"},
    {"ip and port", MEND_PROXY, DOCTOR_OPENSMTPD, "127.0.0.1:2525",
     "OpenSMTPD, smtpd.conf: listen on 127.0.0.1 port 2525 proxy-v2"},
    {"self", MEND_PROXY, DOCTOR_EXIM, "127.0.0.1:2525",
     "Exim that lists PROXY in `exim -bV` (in Debian: exim4-daemon-heavy), "
     "main section: hosts_proxy = 192.0.2.9"},
    {"no header", MEND_PROXY, DOCTOR_SENDMAIL, "127.0.0.1:2525",
     "sendmail, which knows no PROXY header: tarry.ini: [mta] client_address "
     "= transparent, and what TRANSPARENT in tarryd(8) says"},
    {"header", MEND_HEADER, DOCTOR_EXIM, "127.0.0.1:25",
     "tarry.ini: [mta] client_address = proxy_v2"},
    {"number", MEND_PATIENCE, DOCTOR_OPENSMTPD, "127.0.0.1:25",
     "tarry.ini: [mta] patience = 7s, or let the MTA wait longer:"},
};

static void
lines_are_filled_in(void **state)
{
	char out[DOCTOR_MEND_CAP];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct doctor_advice a =
		    advice_for(rows[i].software, rows[i].mta);

		doctor_mend(&a, rows[i].what, out);
		if (strcmp(out, rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].label, out);
	}
}

/* Every line of every advice has its place in the text, and no `{` is left. */
static void
all_advice_fits(void **state)
{
	struct doctor_advice a = advice_for(
	    DOCTOR_UNKNOWN, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	char out[DOCTOR_MEND_CAP];

	(void)state;
	a.self = a.address;
	a.number = UINT32_MAX;
	for (int what = MEND_NOTHING; what <= MEND_PATIENCE; what++) {
		doctor_mend(&a, (enum doctor_mend)what, out);
		assert_null(strpbrk(out, "{}"));
		assert_true(strlen(out) < sizeof(out) - 1);
		assert_true((what == MEND_NOTHING) == (out[0] == '\0'));
	}
	a.self = (struct addr){0};
	doctor_mend(&a, MEND_PROXY, out);
	assert_non_null(strstr(out, "= the address of tarryd's host"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(software_is_known_by_its_greeting),
	    cmocka_unit_test(lines_are_filled_in),
	    cmocka_unit_test(all_advice_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
