/*
 * The verb `doctor`: each finding is a line of the answer.
 */
#include "proxy/daemon/control_state.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/daemon/doctor.h"

/* The lines to type, as a list. */
static json_t *
lines_json(const char *text)
{
	json_t *lines = json_array();

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		json_array_append_new(lines, escape_json(text, len));
		text += len + (text[len] == '\n');
	}
	return lines;
}

static void
on_found(void *ctx, const struct doctor_finding *f)
{
	const struct control *c = ctx;

	control_request_say(c->doctor_request,
			    json_pack("{ss ss so so}", "check", f->check,
				      "level", doctor_level_name(f->level),
				      "text",
				      escape_json(f->text, strlen(f->text)),
				      "mend", lines_json(f->mend)));
}

static void
on_done(void *ctx, bool is_whole)
{
	struct control *c = ctx;
	struct control_request *r = c->doctor_request;

	c->doctor = NULL;
	c->doctor_request = NULL;
	control_request_end(r, is_whole ? NULL : "broken off: tarryd exits");
}

/* A client that has to wait needs all there is. */
static uint32_t
room(void *ctx)
{
	const struct control *c = ctx;
	uint32_t most = c->settings.config->mta.max_connections;
	struct places_totals t;

	gate_totals(c->gate, &t);
	if (t.slots_waiting > 0 || t.slots_used >= most)
		return 0;
	return most - t.slots_used;
}

/* "": the usual number; UINT32_MAX where it is none. */
static uint32_t
read_sessions(const char *text)
{
	char *end;
	unsigned long n = DOCTOR_SESSIONS;

	if (text[0] == '\0')
		return DOCTOR_SESSIONS;
	n = strtoul(text, &end, 10);
	if (strspn(text, "0123456789") != strlen(text) || *end != '\0' ||
	    n > DOCTOR_SESSIONS_MOST)
		return UINT32_MAX;
	return (uint32_t)n;
}

void
control_doctor(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	const struct doctor_client client = {
	    .ctx = c, .found = on_found, .done = on_done, .room = room};
	uint32_t sessions = read_sessions(control_request_argument(r));

	if (sessions == UINT32_MAX) {
		control_request_end(r, "the number of sessions is 0 to 1000");
		return;
	}
	if (c->doctor != NULL) {
		control_request_end(r, "another doctor is with it; try again "
				       "in a minute");
		return;
	}
	c->doctor_request = r;
	if (doctor_start(&c->doctor, &c->loop, c->settings.config, sessions,
			 &client) != 0) {
		c->doctor_request = NULL;
		control_request_end(r, "no memory");
	}
}
