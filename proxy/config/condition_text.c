#include "proxy/config/condition_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tarry/policy_index.h"

enum fact_type { PATTERN, NETS, TEXT, NUMBER, FLAG };

static const struct {
	const char *name;
	enum fact_type type;
} facts[EVIDENCE_COUNT] = {
#define EVIDENCE(id, name, type, help) {name, type},
#include "tarry/evidence.def"
#undef EVIDENCE
};

/* The largest number of each that can be asked for: `5..` is up to there. */
static const struct {
	enum evidence_kind kind;
	uint32_t most;
} ranges[] = {
#define SECTION(id, naming, help)
#define SECTION_LATER(id)
#define KEY(section, name, type, field, fallback, min, max, words, reload, help)
#define KEY_LATER(section, name)
#define CONDITION_LATER(name)
#define CONDITION(evidence, name, type, min, max, help)                        \
	{EVIDENCE_##evidence, max},
#include "tarry/keys.def"
#undef SECTION
#undef SECTION_LATER
#undef KEY
#undef KEY_LATER
#undef CONDITION_LATER
#undef CONDITION
};

static bool
is_open(const struct policy_condition *c)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (ranges[i].kind == c->kind)
			return c->high >= ranges[i].most;
	}
	return false;
}

struct text {
	char *out;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void
say(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->out + t->len, CONDITION_TEXT_CAP - t->len, format,
		      args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n;
	if (t->len >= CONDITION_TEXT_CAP)
		t->len = CONDITION_TEXT_CAP - 1;
}

static void
say_net(struct text *t, const struct net *n)
{
	struct addr a = {.family = policy_net_family(n) == 4 ? 4 : 6};
	char ip[ADDR_TEXT_CAP];
	unsigned bits = a.family == 4 ? n->bits - 96u : n->bits;

	memcpy(a.ip, n->ip, sizeof(a.ip));
	addr_ip_text(&a, ip, sizeof(ip));
	if (bits == (a.family == 4 ? 32u : 128u))
		say(t, "%s", ip);
	else
		say(t, "%s/%u", ip, bits);
}

static void
say_value(struct text *t, const struct policy_condition *c, size_t i)
{
	char pattern[SIGNATURE_TEXT_CAP];

	if (facts[c->kind].type == NETS) {
		say_net(t, &c->nets[i]);
	} else if (facts[c->kind].type == PATTERN) {
		signature_pattern_text(&c->patterns[i], pattern,
				       sizeof(pattern));
		say(t, "%s", pattern);
	} else {
		say(t, "%s", c->texts[i]);
	}
}

static void
say_list(struct text *t, const struct policy_condition *c)
{
	size_t i;

	for (i = 0; i < c->count && i < CONDITION_VALUES_SHOWN; i++) {
		say(t, "%s", i > 0 ? ", " : "");
		say_value(t, c, i);
	}
	if (c->is_unknown)
		say(t, "%sunknown", i > 0 ? ", " : "");
	if (c->count > i)
		say(t, " and %zu more", c->count - i);
}

static void
say_range(struct text *t, const struct policy_condition *c)
{
	if (facts[c->kind].type == FLAG) {
		say(t, "%s", c->low > 0 ? "yes" : "no");
		return;
	}
	if (c->low == c->high) {
		say(t, "%" PRIu32, c->low);
		return;
	}
	if (c->low > 0)
		say(t, "%" PRIu32, c->low);
	say(t, "..");
	if (!is_open(c))
		say(t, "%" PRIu32, c->high);
}

void
condition_text(const struct policy_condition *c, const char *const *lists,
	       char out[CONDITION_TEXT_CAP])
{
	struct text t = {.out = out};

	say(&t, "%s%s", c->is_not ? "not." : "", facts[c->kind].name);
	if (c->list > 0)
		say(&t, ".%s", lists[c->list - 1]);
	say(&t, " = ");
	if (facts[c->kind].type == NUMBER || facts[c->kind].type == FLAG)
		say_range(&t, c);
	else
		say_list(&t, c);
}

static const char *
text_of(const struct evidence *e, enum evidence_kind kind)
{
	const struct {
		enum evidence_kind kind;
		const char *text;
	} rows[] = {
	    {EVIDENCE_LABEL, e->label},
	    {EVIDENCE_LISTENER, e->listener},
	    {EVIDENCE_JA4, e->ja4},
	    {EVIDENCE_DIALECT, e->dialect},
	    {EVIDENCE_REPUTATION, e->reputation},
	    {EVIDENCE_PTR, e->ptr},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].kind == kind && rows[i].text != NULL)
			return rows[i].text;
	}
	return "";
}

static void
say_signature(struct text *t, const struct syn *s, enum evidence_kind kind)
{
	enum signature_level level = kind == EVIDENCE_SYN ? SIGNATURE_SYN
				     : kind == EVIDENCE_STACK
					 ? SIGNATURE_STACK
					 : SIGNATURE_FAMILY;
	char text[SIGNATURE_TEXT_CAP];

	signature_text(level, s, text, sizeof(text));
	say(t, "%s", text);
}

void
condition_fact_text(const struct evidence *e, const struct policy_condition *c,
		    const struct plan_trace *so_far,
		    char out[CONDITION_TEXT_CAP])
{
	const enum evidence_kind kind =
	    c->kind == EVIDENCE_LISTED ? EVIDENCE_NETWORK : c->kind;
	struct text t = {.out = out};
	char ip[ADDR_TEXT_CAP];

	out[0] = '\0';
	if (kind == EVIDENCE_SCORE) {
		say(&t, "%" PRId32, so_far->score);
		return;
	}
	if (kind == EVIDENCE_SOURCES) {
		say(&t, "%" PRIu32, so_far->sources);
		return;
	}
	if (c->list > 0 && (e->lists_known >> (c->list - 1) & 1) != 0)
		say(&t, "%u", (unsigned)e->list_weights[c->list - 1]);
	if (c->list > 0 || !evidence_has(e, kind))
		return;
	switch (facts[kind].type) {
	case PATTERN:
		say_signature(&t, &e->syn, kind);
		break;
	case NETS:
		addr_ip_text(&e->client, ip, sizeof(ip));
		say(&t, "%s", ip);
		break;
	case TEXT:
		say(&t, "%s", text_of(e, kind));
		break;
	case NUMBER:
		say(&t, "%" PRIu32, evidence_number(e, kind));
		break;
	case FLAG:
		say(&t, "%s", evidence_number(e, kind) > 0 ? "yes" : "no");
		break;
	}
}

const char *
condition_fact_name(enum evidence_kind kind)
{
	return facts[kind].name;
}
