/*
 * Pattern text in and out. The grammar stands in tarry/signature.h; each
 * level is a row of fields here, each field one small reader.
 *
 * Invariant: the cursor never passes `len`; the text need not end in NUL.
 *
 * p0f's own reader swallows a byte behind `N-` and takes whatever it is; this
 * one does not.
 */
#include "signature_parts.h"

#include <string.h>

#define MULTIPLIER_MAX 1000

struct cursor {
	const char *text;
	size_t len;
	size_t at;
	const char *error; /* what was expected; NULL: nothing wrong yet */
};

typedef bool field_reader(struct cursor *c, struct signature_pattern *p);

struct field {
	char before; /* the byte that ends the field before; 0: none */
	field_reader *read;
};

static bool
fail(struct cursor *c, const char *error)
{
	c->error = error;
	return false;
}

/* The byte at the cursor; NUL at the end. */
static char
peek(const struct cursor *c)
{
	return c->at < c->len ? c->text[c->at] : '\0';
}

/* Steps over `string` if it stands here. */
static bool
take(struct cursor *c, const char *string)
{
	const size_t len = strlen(string);

	if (c->len - c->at < len || memcmp(c->text + c->at, string, len) != 0)
		return false;
	c->at += len;
	return true;
}

/* Takes `name` if no further byte of a name follows. */
static bool
take_name(struct cursor *c, const char *name)
{
	const size_t at = c->at;

	if (take(c, name) &&
	    (c->at == c->len || peek(c) == ',' || peek(c) == ':'))
		return true;
	c->at = at;
	return false;
}

static bool
take_number(struct cursor *c, uint32_t low, uint32_t high, uint16_t *n,
	    const char *expected)
{
	const size_t at = c->at;
	uint32_t value = 0;

	while (peek(c) >= '0' && peek(c) <= '9' && value <= high) {
		value = value * 10 + (uint32_t)(peek(c) - '0');
		c->at++;
	}
	if (c->at == at || value < low || value > high) {
		c->at = at;
		return fail(c, expected);
	}
	*n = (uint16_t)value;
	return true;
}

/* `*`, N or A-B. */
static bool
take_range(struct cursor *c, uint16_t high, struct pattern_number *n,
	   const char *expected)
{
	if (take(c, "*")) {
		n->kind = PATTERN_ANY;
		return true;
	}
	n->kind = PATTERN_VALUE;
	if (!take_number(c, 0, high, &n->a, expected))
		return false;
	if (!take(c, "-"))
		return true;
	n->kind = PATTERN_RANGE;
	return take_number(c, n->a, high, &n->b,
			   "expected the end of a range, not below its start");
}

static bool
read_version(struct cursor *c, struct signature_pattern *p)
{
	if (take(c, "*"))
		return true;
	if (take(c, "4"))
		p->version = 4;
	else if (take(c, "6"))
		p->version = 6;
	return p->version != 0 ? true : fail(c, "expected 4, 6 or *");
}

static bool
read_ittl(struct cursor *c, struct signature_pattern *p)
{
	uint16_t ttl = 0;
	uint16_t distance = 0;

	if (take(c, "*"))
		return true;
	if (!take_number(c, 1, 255, &ttl, "expected a TTL, 1 to 255, or *"))
		return false;
	if (take(c, "-"))
		p->ittl_is_max = true;
	else if (take(c, "+") &&
		 !take_number(
		     c, 0, 255u - ttl, &distance,
		     "expected a distance; TTL + distance is 255 at most"))
		return false;
	p->ittl = (uint8_t)(ttl + distance);
	return true;
}

static bool
read_olen(struct cursor *c, struct signature_pattern *p)
{
	uint16_t olen = 0;

	p->olen_any = take(c, "*");
	if (!p->olen_any &&
	    !take_number(c, 0, 255, &olen,
			 "expected bytes of IP options, 0 to 255, or *"))
		return false;
	p->olen = (uint8_t)olen;
	return true;
}

static bool
read_mss(struct cursor *c, struct signature_pattern *p)
{
	return take_range(c, UINT16_MAX, &p->mss,
			  "expected an MSS, 0 to 65535, a range or *");
}

static bool
read_window(struct cursor *c, struct signature_pattern *p)
{
	struct pattern_number *n = &p->window;

	if (take(c, "M")) {
		n->kind = PATTERN_LARGEST;
		return true;
	}
	if (take(c, "%")) {
		n->kind = PATTERN_MOD;
		return take_number(c, 2, UINT16_MAX, &n->a,
				   "expected a divisor, 2 to 65535");
	}
	if (take(c, "mss*"))
		n->kind = PATTERN_MSS;
	else if (take(c, "mtu*"))
		n->kind = PATTERN_MTU;
	else
		return take_range(c, UINT16_MAX, n,
				  "expected a window: 0 to 65535, a range, %N, "
				  "mss*N, mtu*N, M or *");
	return take_number(c, 1, MULTIPLIER_MAX, &n->a,
			   "expected a multiplier, 1 to 1000");
}

static bool
read_scale(struct cursor *c, struct signature_pattern *p)
{
	return take_range(c, UINT8_MAX, &p->wscale,
			  "expected a scale, 0 to 255, a range or *");
}

/* The kind of a named option, or -1. */
static int
take_option_name(struct cursor *c)
{
	for (uint8_t kind = SYN_OPTION_NOP; kind <= SYN_OPTION_TS; kind++) {
		const char *name = option_name(kind);
		if (name != NULL && take_name(c, name))
			return kind;
	}
	return -1;
}

static bool
read_option(struct cursor *c, struct signature_pattern *p)
{
	uint16_t n = 0;

	if (p->kinds_count == SYN_OPTIONS_CAP)
		return fail(c, "expected at most 40 options");
	int kind = take_option_name(c);
	if (take(c, "eol+")) {
		if (!take_number(c, 0, SYN_OPTIONS_CAP - 1, &n,
				 "expected the bytes behind EOL, 0 to 39"))
			return false;
		p->eol_pad = (uint8_t)n;
		kind = SYN_OPTION_EOL;
	} else if (take(c, "?")) {
		if (!take_number(c, 1, 255, &n,
				 "expected an option's kind, 1 to 255"))
			return false;
		kind = n;
	}
	if (kind < 0)
		return fail(c, "expected nop, mss, ws, sok, sack, ts, ?KIND, "
			       "eol+BYTES or *");
	p->kinds[p->kinds_count++] = (uint8_t)kind;
	return true;
}

static bool
read_layout(struct cursor *c, struct signature_pattern *p)
{
	p->layout_any = take(c, "*");
	if (p->layout_any || peek(c) == ':')
		return true;
	do {
		if (p->eol_pad != SYN_EOL_ABSENT)
			return fail(c, "expected nothing behind eol");
		if (!read_option(c, p))
			return false;
	} while (take(c, ","));
	return true;
}

static bool
read_quirk(struct cursor *c, struct signature_pattern *p)
{
	const size_t at = c->at;
	const bool is_optional = take(c, "~");
	uint32_t quirk = 0;

	for (unsigned bit = 0; bit < SYN_QUIRK_COUNT && quirk == 0; bit++)
		if (take_name(c, syn_quirk_name((enum syn_quirk)bit)))
			quirk = 1u << bit;
	if (quirk != 0 && (quirk & (p->quirks | p->quirks_optional)) == 0 &&
	    (p->level != SIGNATURE_FAMILY || (quirk & QUIRKS_FAMILY) != 0)) {
		*(is_optional ? &p->quirks_optional : &p->quirks) |= quirk;
		return true;
	}
	c->at = at;
	if (quirk == 0)
		return fail(c, "expected a quirk such as df or id+, or *");
	if (p->level == SIGNATURE_FAMILY && (quirk & QUIRKS_FAMILY) == 0)
		return fail(c, "expected no df, id+, id-, flow or ecn: a "
			       "family leaves them out");
	return fail(c, "expected each quirk once");
}

static bool
read_quirks(struct cursor *c, struct signature_pattern *p)
{
	if (c->at == c->len || peek(c) == ':')
		return true;
	do {
		if (take_name(c, "*"))
			p->quirks_care = 0;
		else if (!read_quirk(c, p))
			return false;
	} while (take(c, ","));
	return true;
}

static bool
read_payload(struct cursor *c, struct signature_pattern *p)
{
	if (take(c, "0"))
		p->payload = PATTERN_PAYLOAD_NONE;
	else if (take(c, "+"))
		p->payload = PATTERN_PAYLOAD_SOME;
	else if (!take(c, "*"))
		return fail(c, "expected 0, + or *");
	return true;
}

#define FIELDS_CAP 10

/* A row ends with a field that has no reader. */
static const struct field levels[][FIELDS_CAP] = {
    [SIGNATURE_SYN] = {{0, read_version},
		       {':', read_ittl},
		       {':', read_olen},
		       {':', read_mss},
		       {':', read_window},
		       {',', read_scale},
		       {':', read_layout},
		       {':', read_quirks},
		       {':', read_payload}},
    [SIGNATURE_STACK] = {{0, read_version},
			 {':', read_ittl},
			 {':', read_olen},
			 {':', read_window},
			 {',', read_scale},
			 {':', read_layout},
			 {':', read_quirks},
			 {':', read_payload}},
    [SIGNATURE_FAMILY] = {{0, read_ittl},
			  {':', read_layout},
			  {':', read_quirks}},
};

static bool
read_fields(struct cursor *c, struct signature_pattern *p)
{
	for (const struct field *f = levels[p->level]; f->read != NULL; f++) {
		if (f->before == ':' && !take(c, ":"))
			return fail(c, "expected : and the next field");
		if (f->before == ',' && !take(c, ","))
			return fail(c, "expected , and the window scale");
		if (!f->read(c, p))
			return false;
	}
	return c->at == c->len ? true : fail(c, "expected the end");
}

bool
signature_pattern_parse(struct signature_pattern *p, enum signature_level level,
			const char *text, size_t len, const char **error,
			size_t *error_at)
{
	struct cursor c = {text, len, 0, NULL};

	*p = (struct signature_pattern){
	    .level = level,
	    .olen_any = true,
	    .eol_pad = SYN_EOL_ABSENT,
	    .payload = PATTERN_PAYLOAD_ANY,
	    .quirks_care =
		level == SIGNATURE_FAMILY ? QUIRKS_FAMILY : QUIRKS_ALL,
	};
	const bool is_good = read_fields(&c, p);
	*error = c.error;
	*error_at = c.at;
	return is_good;
}

static void
put_number(struct text_out *o, struct pattern_number n)
{
	static const char *const before[] = {
	    [PATTERN_ANY] = "*",    [PATTERN_VALUE] = "",
	    [PATTERN_RANGE] = "",   [PATTERN_MOD] = "%",
	    [PATTERN_MSS] = "mss*", [PATTERN_MTU] = "mtu*",
	    [PATTERN_LARGEST] = "M"};

	text_out_string(o, before[n.kind]);
	if (n.kind == PATTERN_ANY || n.kind == PATTERN_LARGEST)
		return;
	text_out_number(o, n.a);
	if (n.kind != PATTERN_RANGE)
		return;
	text_out_char(o, '-');
	text_out_number(o, n.b);
}

/* 0 is `*`. */
static void
put_or_any(struct text_out *o, uint32_t n, bool is_any)
{
	if (is_any)
		text_out_char(o, '*');
	else
		text_out_number(o, n);
}

static void
put_quirks(struct text_out *o, const struct signature_pattern *p)
{
	const char *comma = "";

	if (p->quirks_care == 0) {
		text_out_char(o, '*');
		comma = ",";
	}
	for (unsigned bit = 0; bit < SYN_QUIRK_COUNT; bit++) {
		const uint32_t quirk = 1u << bit;
		if (((p->quirks | p->quirks_optional) & quirk) == 0)
			continue;
		text_out_string(o, comma);
		if ((p->quirks_optional & quirk) != 0)
			text_out_char(o, '~');
		text_out_string(o, syn_quirk_name((enum syn_quirk)bit));
		comma = ",";
	}
}

static void
put_layout(struct text_out *o, const struct signature_pattern *p)
{
	if (p->layout_any)
		text_out_char(o, '*');
	else
		text_out_layout(o, p->kinds, p->kinds_count, p->eol_pad);
	text_out_char(o, ':');
}

static void
put_ittl(struct text_out *o, const struct signature_pattern *p)
{
	put_or_any(o, p->ittl, p->ittl == 0);
	text_out_string(o, p->ittl_is_max ? "-:" : ":");
}

/* What stands in front of the layout, all but family. */
static void
put_numbers(struct text_out *o, const struct signature_pattern *p)
{
	put_or_any(o, p->version, p->version == 0);
	text_out_char(o, ':');
	put_ittl(o, p);
	put_or_any(o, p->olen, p->olen_any);
	text_out_char(o, ':');
	if (p->level == SIGNATURE_SYN) {
		put_number(o, p->mss);
		text_out_char(o, ':');
	}
	put_number(o, p->window);
	text_out_char(o, ',');
	put_number(o, p->wscale);
	text_out_char(o, ':');
}

size_t
signature_pattern_text(const struct signature_pattern *p, char *out, size_t cap)
{
	static const char *const payloads[] = {[PATTERN_PAYLOAD_NONE] = ":0",
					       [PATTERN_PAYLOAD_SOME] = ":+",
					       [PATTERN_PAYLOAD_ANY] = ":*"};
	struct text_out o;

	text_out_start(&o, out, cap);
	if (p->level == SIGNATURE_FAMILY)
		put_ittl(&o, p);
	else
		put_numbers(&o, p);
	put_layout(&o, p);
	put_quirks(&o, p);
	if (p->level != SIGNATURE_FAMILY)
		text_out_string(&o, payloads[p->payload]);
	return o.len;
}
