/* Verb look-up, private to shaping/. */
#ifndef SHAPING_SMTP_VERB_H
#define SHAPING_SMTP_VERB_H

#include "tarry/smtp.h"

/* The verb that word[0..len) is, in any case; SMTP_OTHER if none. */
enum smtp_verb smtp_verb_find(const char *word, size_t len);

/* True if text[0..len) begins with `want` (upper case), in any case. */
bool smtp_text_starts(const char *text, size_t len, const char *want);

#endif
