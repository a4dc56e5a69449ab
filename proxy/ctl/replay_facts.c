/*
 * The facts of a plan, from the journal back to evidence.
 *
 * The SYN comes from its bytes where the journal has them and they are the
 * ones that the fact tells of, else from the fact's text, which names all
 * that most rules see of it.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/ctl/replay.h"
#include "tarry/explain.h"

enum fact_type { NETS, PATTERN, TEXT, NUMBER, FLAG };

static const struct {
	const char *name;
	enum fact_type type;
} rows[EVIDENCE_COUNT] = {
#define EVIDENCE(id, name, type, help) {name, type},
#include "tarry/evidence.def"
#undef EVIDENCE
};

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
replay_syn_read(struct replay_syn *out, const json_t *hex)
{
	const char *text = json_string_value(hex);
	size_t len = text != NULL ? strlen(text) : 0;

	out->len = 0;
	if (len % 2 != 0 || len / 2 > sizeof(out->raw))
		return;
	for (size_t i = 0; i < len / 2; i++) {
		int high = digit(text[2 * i]);
		int low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return;
		out->raw[i] = (uint8_t)(high << 4 | low);
	}
	out->len = len / 2;
}

/* What the log made of bytes, back; false if it does not fit. */
static bool
unescape(const char *text, char out[REPLAY_FACT_CAP])
{
	size_t len = 0;

	while (*text != '\0' && len + 1 < REPLAY_FACT_CAP) {
		if (text[0] != '\\') {
			out[len++] = *text++;
		} else if (text[1] == 'x' && digit(text[2]) >= 0 &&
			   digit(text[3]) >= 0) {
			out[len++] =
			    (char)(digit(text[2]) << 4 | digit(text[3]));
			text += 4;
		} else {
			out[len++] = '\\';
			text += text[1] == '\\' ? 2 : 1;
		}
	}
	out[len] = '\0';
	return *text == '\0';
}

static bool
is_of(const struct syn *syn, const char *text)
{
	char own[SIGNATURE_TEXT_CAP];

	signature_text(SIGNATURE_SYN, syn, own, sizeof(own));
	return strcmp(own, text) == 0;
}

static bool
read_syn(struct replay_facts *f, const struct replay_syn *syn,
	 const json_t *facts)
{
	const char *text = json_string_value(json_object_get(facts, "syn"));
	const json_t *hops = json_object_get(facts, "distance");
	struct evidence *e = &f->evidence;
	struct signature_pattern p;
	const char *error;
	size_t at;

	if (text == NULL)
		return false;
	if (syn->len > 0 && syn_parse(&e->syn, syn->raw, syn->len) > 0 &&
	    is_of(&e->syn, text))
		return true;
	if (!signature_pattern_parse(&p, SIGNATURE_SYN, text, strlen(text),
				     &error, &at) ||
	    !explain_syn(&p, &e->syn))
		return false;
	if (json_integer_value(hops) > 0 &&
	    json_integer_value(hops) < e->syn.ttl)
		e->syn.ttl = (uint8_t)(e->syn.ttl - json_integer_value(hops));
	return true;
}

/* `192.0.2.1`, or as log.addresses leaves it: `192.0.2.0/24`, `-`. */
static bool
read_address(struct replay_facts *f, const char *text)
{
	struct addr *a = &f->evidence.client;
	size_t len = strcspn(text, "/");

	f->is_hidden = text[len] == '/' || strcmp(text, "-") == 0;
	if (strcmp(text, "-") == 0)
		return true;
	return addr_parse_ip(a, text, len);
}

static bool
put_text(struct replay_facts *f, enum evidence_kind kind, const char *text)
{
	struct evidence *e = &f->evidence;
	const struct {
		enum evidence_kind kind;
		const char **at;
	} texts[] = {
	    {EVIDENCE_LABEL, &e->label},
	    {EVIDENCE_LISTENER, &e->listener},
	    {EVIDENCE_JA4, &e->ja4},
	    {EVIDENCE_DIALECT, &e->dialect},
	    {EVIDENCE_REPUTATION, &e->reputation},
	};

	if (kind == EVIDENCE_PTR) {
		for (int i = 0; i < EVIDENCE_PTR_COUNT; i++) {
			const char *name =
			    evidence_ptr_name((enum evidence_ptr)i);
			if (name != NULL && strcmp(name, text) == 0)
				e->ptr = name;
		}
		return e->ptr != NULL;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].kind != kind)
			continue;
		*texts[i].at = f->texts[i];
		return unescape(text, f->texts[i]);
	}
	return false;
}

static bool
put_number(struct evidence *e, enum evidence_kind kind, uint32_t n)
{
	const struct {
		enum evidence_kind kind;
		uint32_t *at;
	} numbers[] = {
	    {EVIDENCE_SYN_RETRANSMITS, &e->syn_retransmits},
	    {EVIDENCE_SESSION_ERRORS, &e->session_errors},
	    {EVIDENCE_SESSION_RECIPIENTS, &e->session_recipients},
	    {EVIDENCE_SESSION_MESSAGES, &e->session_messages},
	    {EVIDENCE_SESSION_UNKNOWN_USERS, &e->session_unknown_users},
	    {EVIDENCE_CLIENT_SESSIONS, &e->client_sessions},
	    {EVIDENCE_NETWORK_SESSIONS, &e->network_sessions},
	    {EVIDENCE_STACK_SESSIONS, &e->stack_sessions},
	    {EVIDENCE_CLIENT_RATE, &e->client_rate},
	    {EVIDENCE_REPUTATION_NUMBER, &e->reputation_number},
	    {EVIDENCE_ASN, &e->asn},
	    {EVIDENCE_DNSBL, &e->dnsbl},
	    {EVIDENCE_DNSWL, &e->dnswl},
	};
	const struct {
		enum evidence_kind kind;
		bool *at;
	} flags[] = {
	    {EVIDENCE_EARLY_TALKER, &e->early_talker},
	    {EVIDENCE_PIPELINING, &e->pipelining},
	    {EVIDENCE_NON_SMTP, &e->non_smtp},
	    {EVIDENCE_BARE_NEWLINE, &e->bare_newline},
	    {EVIDENCE_PROVEN, &e->is_proven},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (numbers[i].kind == kind)
			*numbers[i].at = n;
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].kind == kind)
			*flags[i].at = n > 0;
	}
	return true; /* the others are the SYN's */
}

static bool
put_fact(struct replay_facts *f, enum evidence_kind kind, const json_t *value)
{
	const char *text = json_string_value(value);
	const json_int_t n = json_integer_value(value);

	switch (rows[kind].type) {
	case NETS:
		return text != NULL && read_address(f, text);
	case PATTERN:
		return text != NULL;
	case TEXT:
		return text != NULL && put_text(f, kind, text);
	case NUMBER:
	case FLAG:
		return json_is_integer(value) && n >= 0 && n <= UINT32_MAX &&
		       put_number(&f->evidence, kind, (uint32_t)n);
	}
	return false;
}

/* `zen:3,good:0`: those of them that the rules know too. */
static void
read_lists(struct replay_facts *f, const struct config *config,
	   const char *text)
{
	struct evidence *e = &f->evidence;
	uint32_t sums[2] = {0};
	bool is_other = false;

	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, ",");
		const char *colon = memchr(text, ':', len);
		size_t i = 0;

		if (colon == NULL)
			return;
		while (i < config->dns.lists_count &&
		       (strlen(config->dns.lists[i].name) !=
			    (size_t)(colon - text) ||
			memcmp(config->dns.lists[i].name, text,
			       (size_t)(colon - text)) != 0))
			i++;
		if (i < config->dns.lists_count) {
			const struct config_list *l = &config->dns.lists[i];
			unsigned long was = strtoul(colon + 1, NULL, 10);

			e->lists_known |= (uint16_t)(1u << i);
			f->weights[i] = was > 0 ? l->weight : 0;
			sums[l->is_allow] += f->weights[i];
			is_other = is_other || was != f->weights[i];
		} else {
			is_other = true;
		}
		text += len + (text[len] == ',');
	}
	e->list_weights = f->weights;
	e->list_names = config->dns.names;
	/* These rules weigh them otherwise. */
	if (is_other) {
		e->dnsbl = sums[0];
		e->dnswl = sums[1];
	}
}

static int
kind_of(const char *name)
{
	for (int i = 0; i < EVIDENCE_COUNT; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return i;
	}
	return -1;
}

bool
replay_facts_read(struct replay_facts *f, const struct config *config,
		  const json_t *facts, const struct replay_syn *syn,
		  const char **why)
{
	struct evidence *e = &f->evidence;
	const char *key;
	json_t *value;

	*e = (struct evidence){0};
	memset(f->weights, 0, sizeof(f->weights));
	f->is_hidden = f->is_odd = false;
	*why = "it has no facts";
	if (!json_is_object(facts))
		return false;
	*why = "its SYN is not understood";
	if (json_object_get(facts, "syn") != NULL && !read_syn(f, syn, facts))
		return false;
	json_object_foreach((json_t *)(uintptr_t)facts, key, value)
	{
		int kind = kind_of(key);

		*why = "a fact of it is not understood";
		if (kind >= 0 && put_fact(f, (enum evidence_kind)kind, value))
			e->present |= evidence_bit((enum evidence_kind)kind);
		else if (kind >= 0)
			return false;
		else if (strcmp(key, "lists") != 0 && strcmp(key, "ja4_r") != 0)
			f->is_odd = true;
	}
	/* An address that is not told is not known. */
	if (e->client.family == 0)
		e->present &= ~evidence_bit(EVIDENCE_NETWORK);
	e->ja4_raw = f->texts[5];
	key = json_string_value(json_object_get(facts, "ja4_r"));
	f->texts[5][0] = '\0';
	if (key != NULL)
		(void)unescape(key, f->texts[5]);
	read_lists(f, config,
		   json_string_value(json_object_get(facts, "lists")));
	return true;
}
