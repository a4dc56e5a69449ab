#include "proxy/admin/accept.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* One thing that a client takes; pieces of its header. */
struct piece {
	const char *at;
	size_t len;
};

struct range {
	struct piece type;
	struct piece version; /* len 0: any */
	unsigned quality;     /* thousandths */
};

/* What is known of a form, from all ranges so far. */
struct wish {
	unsigned quality;
	unsigned detail; /* of the range that said so; 0: none did */
	size_t place;
};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* `word` is in lower case. */
static bool
is_word(struct piece p, const char *word)
{
	if (p.len != strlen(word))
		return false;
	for (size_t i = 0; i < p.len; i++) {
		if (lower(p.at[i]) != word[i])
			return false;
	}
	return true;
}

static struct piece
trim(struct piece p)
{
	while (p.len > 0 && (p.at[0] == ' ' || p.at[0] == '\t'))
		p = (struct piece){p.at + 1, p.len - 1};
	while (p.len > 0 && (p.at[p.len - 1] == ' ' || p.at[p.len - 1] == '\t'))
		p.len--;
	return p;
}

/* Takes what stands before the next `end` that is not quoted, and that. */
static struct piece
take(struct piece *rest, char end)
{
	struct piece out = {rest->at, 0};
	bool is_quoted = false;

	while (out.len < rest->len && (is_quoted || out.at[out.len] != end)) {
		if (is_quoted && out.at[out.len] == '\\' &&
		    out.len + 1 < rest->len)
			out.len++;
		else if (out.at[out.len] == '"')
			is_quoted = !is_quoted;
		out.len++;
	}
	rest->at += out.len;
	rest->len -= out.len;
	if (rest->len > 0) {
		rest->at++;
		rest->len--;
	}
	return trim(out);
}

/* `0`, `1`, and up to three digits behind a dot; anything else is 0. */
static unsigned
quality_of(struct piece p)
{
	unsigned quality;
	unsigned unit = 100;

	if (p.len == 0 || p.len > 5 || (p.at[0] != '0' && p.at[0] != '1'))
		return 0;
	quality = p.at[0] == '1' ? 1000 : 0;
	if (p.len > 1 && p.at[1] != '.')
		return 0;
	for (size_t i = 2; i < p.len; i++) {
		if (p.at[i] < '0' || p.at[i] > '9')
			return 0;
		quality += (unsigned)(p.at[i] - '0') * unit;
		unit /= 10;
	}
	return quality <= 1000 ? quality : 0;
}

static struct range
range_of(struct piece text)
{
	struct range range = {.quality = 1000};

	range.type = take(&text, ';');
	while (text.len > 0) {
		struct piece value = take(&text, ';');
		struct piece key = take(&value, '=');

		value = trim(value);
		if (is_word(key, "q"))
			range.quality = quality_of(value);
		else if (is_word(key, "version"))
			range.version = value;
	}
	if (range.version.len >= 2 && range.version.at[0] == '"') {
		range.version.at++;
		range.version.len -= 2;
	}
	return range;
}

/* The more a range says, the more it counts; 0: it is of something else. */
static unsigned
detail_of(const struct range *r, const char *type, const char *version)
{
	if (!is_word(r->type, type))
		return 0;
	if (r->version.len == 0)
		return 3;
	return is_word(r->version, version) ? 4 : 0;
}

static unsigned
text_detail(const struct range *r)
{
	unsigned detail = detail_of(r, "text/plain", "0.0.4");

	if (detail == 0 && is_word(r->type, "text/*"))
		detail = 2;
	if (detail == 0 && is_word(r->type, "*/*"))
		detail = 1;
	return detail;
}

static void
learn(struct wish *wish, const struct range *r, unsigned detail, size_t place)
{
	if (detail > wish->detail)
		*wish = (struct wish){r->quality, detail, place};
}

enum metrics_form
accept_form(const char *accept)
{
	struct piece rest = {accept, accept != NULL ? strlen(accept) : 0};
	struct wish open = {0};
	struct wish text = {0};

	for (size_t place = 0; rest.len > 0; place++) {
		struct range r = range_of(take(&rest, ','));

		learn(&open, &r,
		      detail_of(&r, "application/openmetrics-text", "1.0.0"),
		      place);
		learn(&text, &r, text_detail(&r), place);
	}
	if (open.quality == 0 || open.quality < text.quality)
		return METRICS_TEXT;
	if (open.quality == text.quality && text.detail > 2 &&
	    text.place < open.place)
		return METRICS_TEXT;
	return METRICS_OPEN;
}
