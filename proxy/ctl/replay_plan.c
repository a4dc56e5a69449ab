/* Plans as the journal tells them; see replay.h. */
#include <stdio.h>
#include <string.h>

#include "proxy/admin/escape.h"
#include "proxy/ctl/replay.h"

/* names.h keeps so many bytes of a name. */
#define NAME_KEPT 64

const char *const replay_text_names[REPLAY_TEXTS] = {
    [REPLAY_RULE] = "rule",
    [REPLAY_CLASS] = "class",
    [REPLAY_SHADOW_RULE] = "shadow_rule",
    [REPLAY_MODE] = "mode",
};

const char *const replay_number_names[REPLAY_NUMBERS] = {
    [REPLAY_TEASER] = "teaser",
    [REPLAY_SPLIT] = "split",
    [REPLAY_RANK] = "rank",
    [REPLAY_GREET] = "greet_ms",
    [REPLAY_REPLY] = "reply_ms",
    [REPLAY_ERROR] = "error_ms",
    [REPLAY_DRIP] = "drip_ms",
    [REPLAY_DATA_RATE] = "data_rate",
    [REPLAY_REPLY_CAP] = "reply_cap_ms",
    [REPLAY_DATA_REPLY_CAP] = "data_reply_cap_ms",
    [REPLAY_SESSION_CAP] = "session_cap_ms",
    [REPLAY_PATIENCE] = "patience_ms",
    [REPLAY_CLIENT_SESSIONS] = "client_sessions",
    [REPLAY_NETWORK_SESSIONS] = "network_sessions",
    [REPLAY_STACK_SESSIONS] = "stack_sessions",
};

static void
put_text(struct replay_plan *out, enum replay_text which, const char *text)
{
	escape_text(text, strnlen(text, NAME_KEPT), out->texts[which],
		    REPLAY_TEXT_CAP);
}

void
replay_plan_of(struct replay_plan *out, const struct policy *policy,
	       const struct plan *p)
{
	const uint32_t numbers[REPLAY_NUMBERS] = {
	    [REPLAY_TEASER] = p->teaser,
	    [REPLAY_SPLIT] = p->is_split,
	    [REPLAY_RANK] = p->rank,
	    [REPLAY_GREET] = p->greet_ms,
	    [REPLAY_REPLY] = p->reply_ms,
	    [REPLAY_ERROR] = p->error_ms,
	    [REPLAY_DRIP] = p->drip_ms,
	    [REPLAY_DATA_RATE] = p->data_rate,
	    [REPLAY_REPLY_CAP] = p->reply_cap_ms,
	    [REPLAY_DATA_REPLY_CAP] = p->data_reply_cap_ms,
	    [REPLAY_SESSION_CAP] = p->session_cap_ms,
	    [REPLAY_PATIENCE] = p->patience_ms,
	    [REPLAY_CLIENT_SESSIONS] = p->caps[PLAN_CAP_CLIENT],
	    [REPLAY_NETWORK_SESSIONS] = p->caps[PLAN_CAP_NETWORK],
	    [REPLAY_STACK_SESSIONS] = p->caps[PLAN_CAP_STACK],
	};

	*out = (struct replay_plan){0};
	memcpy(out->numbers, numbers, sizeof(numbers));
	put_text(out, REPLAY_RULE, policy_rule_name(policy, p->rule_id));
	put_text(out, REPLAY_CLASS, policy_class_name(policy, p->class_id));
	put_text(out, REPLAY_MODE, plan_mode_name(p));
	if (p->shadow_rule_id != PLAN_NO_RULE)
		put_text(out, REPLAY_SHADOW_RULE,
			 policy_rule_name(policy, p->shadow_rule_id));
}

static int
find(const char *const *names, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], key) == 0)
			return (int)i;
	}
	return -1;
}

static bool
read_number(const json_t *value, uint32_t *out)
{
	json_int_t n = json_is_true(value) ? 1 : json_integer_value(value);

	*out = (uint32_t)n;
	return (json_is_boolean(value) || json_is_integer(value)) && n >= 0 &&
	       n <= UINT32_MAX;
}

bool
replay_plan_read(struct replay_plan *out, const json_t *json, const char **why)
{
	const char *key;
	json_t *value;

	*out = (struct replay_plan){0};
	*why = "its plan is not an object";
	if (!json_is_object(json))
		return false;
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		int i = find(replay_text_names, REPLAY_TEXTS, key);

		*why = "its plan has a key that is not known, or of another "
		       "type";
		if (i >= 0 && json_is_string(value)) {
			(void)snprintf(out->texts[i], REPLAY_TEXT_CAP, "%s",
				       json_string_value(value));
			continue;
		}
		i = find(replay_number_names, REPLAY_NUMBERS, key);
		if (i < 0 || !read_number(value, &out->numbers[i]))
			return false;
	}
	*why = "its plan has no rule or class";
	return out->texts[REPLAY_RULE][0] != '\0' &&
	       out->texts[REPLAY_CLASS][0] != '\0';
}

bool
replay_plan_differs(const struct replay_plan *a, const struct replay_plan *b,
		    char *out, size_t cap)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < REPLAY_TEXTS && len < cap; i++) {
		if (strcmp(a->texts[i], b->texts[i]) != 0)
			len += (size_t)snprintf(
			    out + len, cap - len, "%s%s %s -> %s",
			    len > 0 ? ", " : "", replay_text_names[i],
			    a->texts[i][0] != '\0' ? a->texts[i] : "-",
			    b->texts[i][0] != '\0' ? b->texts[i] : "-");
	}
	for (size_t i = 0; i < REPLAY_NUMBERS && len < cap; i++) {
		if (a->numbers[i] != b->numbers[i])
			len += (size_t)snprintf(
			    out + len, cap - len, "%s%s %u -> %u",
			    len > 0 ? ", " : "", replay_number_names[i],
			    a->numbers[i], b->numbers[i]);
	}
	return len > 0;
}
