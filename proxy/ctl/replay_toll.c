/*
 * What plans would have added to a session that went as the journal tells,
 * and who would have left. Estimates: the delay of each reply is the core's,
 * but nobody was there to answer later, and slow uploads are left out.
 */
#include <math.h>
#include <string.h>

#include "proxy/ctl/replay.h"
#include "tarry/smtp.h"

#define READY 220

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static struct plan
shape_of(const struct replay_plan *p)
{
	const uint32_t *n = p->numbers;

	/* What a plan_make() cannot say is cut: it came from a file. */
	return (struct plan){
	    .greet_ms = (uint16_t)least(n[REPLAY_GREET], PLAN_REPLY_MAX_MS),
	    .reply_ms = (uint16_t)least(n[REPLAY_REPLY], PLAN_REPLY_MAX_MS),
	    .error_ms = (uint16_t)least(n[REPLAY_ERROR], PLAN_REPLY_MAX_MS),
	    .data_reply_cap_ms = (uint16_t)least(n[REPLAY_DATA_REPLY_CAP],
						 PLAN_DATA_REPLY_MAX_MS),
	    .is_shadow = strcmp(p->texts[REPLAY_MODE], "enforce") != 0,
	};
}

static void
charge(struct replay_toll *t, const struct replay_plan *p,
       const struct session_note *reply)
{
	const struct plan plan = shape_of(p);
	uint32_t ms = session_reply_delay(&plan, reply);

	if (reply->verb == SMTP_GREETING)
		ms = reply->code == READY ? plan.greet_ms : 0;
	if (plan.is_shadow)
		ms = 0;
	t->sum_ms = least(t->sum_ms + ms, least(p->numbers[REPLAY_SESSION_CAP],
						PLAN_SESSION_MAX_MS));
	if (reply->verb != SMTP_DOT || t->has_mail || reply->code >= 300)
		return;
	t->has_mail = true;
	t->mail_ms = t->sum_ms;
}

static int
verb_of(const char *name)
{
	for (int v = 0; name != NULL && v < SMTP_VERB_COUNT; v++) {
		if (strcmp(smtp_verb_name((enum smtp_verb)v), name) == 0)
			return v;
	}
	return -1;
}

/* [at, verb, marks, code, due]. Of replies to commands that came together
 * the last one's delay is what counts. */
void
replay_toll_note(struct replay_session *s, const json_t *note)
{
	const int verb = verb_of(json_string_value(json_array_get(note, 1)));
	const json_int_t marks = json_integer_value(json_array_get(note, 2));
	const json_int_t code = json_integer_value(json_array_get(note, 3));
	struct session_note reply = {.code = (uint16_t)code,
				     .verb = (uint8_t)verb,
				     .marks = (uint8_t)marks};

	if (verb < 0 || code < 0 || code > 999 || marks < 0 || marks > 255)
		return;
	if (code == 0) {
		s->pending++;
		return;
	}
	if (s->pending > 0)
		s->pending--;
	if (verb == SMTP_GREETING)
		s->has_greeting = true;
	if (s->pending > 0 && verb != SMTP_GREETING && verb != SMTP_DOT)
		return;
	charge(&s->toll_before, &s->before, &reply);
	charge(&s->toll_after, &s->after, &reply);
}

void
replay_toll_end(struct replay_session *s)
{
	const struct session_note greeting = {.code = READY,
					      .verb = SMTP_GREETING};

	if (s->has_greeting || !s->has_plan)
		return;
	charge(&s->toll_before, &s->before, &greeting);
	charge(&s->toll_after, &s->after, &greeting);
}

/*
 * Of those that stayed for `before`, the share that leaves until `after`, and
 * Wilson's interval of it (95 %) for as many as were seen to wait so long. If
 * none were, all may leave.
 */
void
replay_leaving_add(struct replay_leaving *l, const struct patience *p,
		   uint32_t before_ms, uint32_t after_ms)
{
	const double stay = 1 - patience_gone(p, before_ms);
	const double n = (double)patience_waited(p, after_ms);
	const double z = 1.96;
	double share = 1;
	double middle;
	double half;

	l->sessions++;
	if (stay > 0)
		share = 1 - (1 - patience_gone(p, after_ms)) / stay;
	if (share < 0)
		share = 0;
	if (n < 1) {
		l->high += 1;
		return;
	}
	middle = (share + z * z / (2 * n)) / (1 + z * z / n);
	half = z / (1 + z * z / n) *
	       sqrt(share * (1 - share) / n + z * z / (4 * n * n));
	l->low += middle > half ? middle - half : 0;
	l->high += middle + half < 1 ? middle + half : 1;
}
