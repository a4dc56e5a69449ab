/*
 * What the doctor advises: lines to type, by what is wrong and by which
 * program the MTA is; where that is not known, for each of the four.
 */
#ifndef PROXY_DAEMON_DOCTOR_TEXT_H
#define PROXY_DAEMON_DOCTOR_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "tarry/addr.h"

#define DOCTOR_MEND_CAP 1600

enum doctor_software {
	DOCTOR_UNKNOWN,
	DOCTOR_POSTFIX,
	DOCTOR_EXIM,
	DOCTOR_OPENSMTPD,
	DOCTOR_SENDMAIL
};

enum doctor_mend {
	MEND_NOTHING,
	MEND_REFUSED,	   /* nobody listens */
	MEND_NO_ANSWER,	   /* no packet comes back */
	MEND_PROXY,	   /* the MTA is to expect the header */
	MEND_HEADER,	   /* {header} is what the MTA expects */
	MEND_RELAY,	   /* it relays for anybody */
	MEND_RELAY_SELF,   /* it relays for us, for whom it takes all clients */
	MEND_STARTTLS,	   /* not offered */
	MEND_CERTIFICATE,  /* to be renewed */
	MEND_LIMIT,	   /* {number} sessions are all it takes */
	MEND_CLIENT_LIMIT, /* {number} of one client may be too many */
	MEND_PATIENCE	   /* {number} s is all it waits */
};

/* What the lines are filled in with. */
struct doctor_advice {
	enum doctor_software software;
	struct addr address; /* of the MTA */
	struct addr self;    /* as the MTA sees us; family 0: not known */
	const char *header;  /* a value of mta.client_address */
	uint32_t number;
};

/* Which program says this greeting. */
enum doctor_software doctor_software_of(const char *text, size_t len);

/* Writes the lines, one newline between two, NUL-terminated. */
void doctor_mend(const struct doctor_advice *advice, enum doctor_mend what,
		 char out[DOCTOR_MEND_CAP]);

#endif
