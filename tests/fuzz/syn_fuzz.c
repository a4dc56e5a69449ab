/*
 * Bytes as the headers of a SYN, and as the text of a pattern.
 *
 * What must hold: a SYN's texts are patterns that match it and print as
 * themselves; a pattern that is taken prints as a pattern that is taken and
 * prints the same.
 */
#include "tarry/signature.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The text as a heap copy without a NUL, so that an overrun is seen. */
static bool
parse_copy(struct signature_pattern *p, enum signature_level level,
	   const char *text, size_t len)
{
	const char *error = NULL;
	size_t at = 0;
	char *copy = malloc(len + 1);

	if (copy == NULL)
		abort();
	memcpy(copy + 1, text, len);
	const bool is_good =
	    signature_pattern_parse(p, level, copy + 1, len, &error, &at);
	if (at > len || (!is_good && error == NULL))
		abort();
	free(copy);
	return is_good;
}

static void
check_prints_same(const struct signature_pattern *p, const char *want)
{
	char text[SIGNATURE_TEXT_CAP];
	const size_t len = signature_pattern_text(p, text, sizeof(text));

	if (len != strlen(text) || strcmp(text, want) != 0)
		abort();
}

static void
check_syn(const struct syn *s, enum signature_level level)
{
	char text[SIGNATURE_TEXT_CAP];
	struct signature_pattern p;
	const size_t len = signature_text(level, s, text, sizeof(text));

	if (len != strlen(text) || len >= sizeof(text) - 1 ||
	    !parse_copy(&p, level, text, len) ||
	    !signature_pattern_match(&p, s) ||
	    !signature_pattern_covers(&p, &p))
		abort();
	check_prints_same(&p, text);
	const struct label label = {"fuzz", p, true, false};
	enum label_quality quality;
	if (label_find(&label, 1, s, &quality) !=
	    (abs(p.ittl - s->ttl) <= 64 ? 0 : -1))
		abort();
}

static void
check_pattern(enum signature_level level, const char *bytes, size_t len)
{
	char text[SIGNATURE_TEXT_CAP];
	struct signature_pattern p;
	struct signature_pattern again;

	if (!parse_copy(&p, level, bytes, len))
		return;
	signature_pattern_text(&p, text, sizeof(text));
	if (!parse_copy(&again, level, text, strlen(text)) ||
	    !signature_pattern_covers(&p, &again))
		abort();
	check_prints_same(&again, text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct syn s;
	const int used = syn_parse(&s, bytes, len);

	if (used == 0 || used > (int)len)
		abort();
	if (used < 0 && strcmp(syn_malformed_name(used), "unknown") == 0)
		abort();
	for (unsigned level = 0; level < 3; level++) {
		if (used > 0)
			check_syn(&s, (enum signature_level)level);
		check_pattern((enum signature_level)level, (const char *)bytes,
			      len);
	}
	if (used > 0)
		(void)syn_is_made_up(&s);
	return 0;
}
