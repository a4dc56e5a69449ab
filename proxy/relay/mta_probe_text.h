/*
 * What the MTA's answers in a test session say, and what we say about them.
 */
#ifndef PROXY_RELAY_MTA_PROBE_TEXT_H
#define PROXY_RELAY_MTA_PROBE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct addr;
struct config_mta;

/* What is due in step 0, 1 ..: "greeting", "silence", .. Static. */
const char *mta_probe_step_name(unsigned step);

/*
 * The name in a greeting, `220 NAME ...`: printable, without blanks, shorter
 * than cap. Empty if there is none such.
 */
void mta_probe_name(const char *text, size_t len, char *name, size_t cap);

/* True if a line of an EHLO reply begins with the keyword, in any case. */
bool mta_probe_has_keyword(const char *text, size_t len, const char *keyword);

/* Length of the first line of text[0..len), 100 bytes at most. */
size_t mta_probe_line(const char *text, size_t len);

/*
 * Logs a failure. `self` is our address as the MTA saw it, NULL if it was not
 * reached; if it was, it may be the setting on one of both ends, so that this
 * says what to write in the MTA's own files.
 */
void mta_probe_say_failure(const struct config_mta *mta,
			   const struct addr *self, const char *why);

#endif
