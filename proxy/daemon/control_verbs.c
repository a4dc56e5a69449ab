/*
 * What the control socket can be asked: one row a verb.
 */
#include "proxy/daemon/control_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/admin/control_socket.h"

static void
drain(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	char cause[128];

	if (c->state != CONTROL_RUNS) {
		control_request_end(r, "it is shutting down already");
		return;
	}
	(void)snprintf(cause, sizeof(cause), "drain asked for by %s",
		       control_request_peer(r));
	control_drain(c, cause);
	control_request_say(
	    r, json_pack("{si}", "waits_s",
			 c->settings.config->drain_timeout_ms / 1000));
	control_request_end(r, NULL);
}

static void
say_notes(struct control_request *r, const struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct report_note *note = &report->notes[i];

		control_request_say(
		    r, json_pack("{ss so}", "kind",
				 note->kind == REPORT_MISTAKE ? "mistake"
							      : "warning",
				 "text",
				 escape_json(note->text, strlen(note->text))));
	}
}

static void
reload(void *ctx, struct control_request *r)
{
	struct control *c = ctx;
	struct report report = {0};
	char error[128];

	log_say(LOG_LEVEL_INFO, "reload asked for by %s",
		control_request_peer(r));
	switch (control_reload(c, &report)) {
	case RELOAD_TAKEN:
		error[0] = '\0';
		break;
	case RELOAD_REFUSED:
		(void)snprintf(error, sizeof(error),
			       "%zu %s; nothing has changed", report.mistakes,
			       report.mistakes == 1 ? "mistake" : "mistakes");
		break;
	case RELOAD_LATER:
		(void)snprintf(error, sizeof(error),
			       "another reload is under way; this one comes "
			       "behind it, see the log");
		break;
	case RELOAD_NEVER:
		(void)snprintf(error, sizeof(error),
			       "it is shutting down, nothing is read again");
		break;
	}
	say_notes(r, &report);
	report_free(&report);
	control_request_end(r, error[0] != '\0' ? error : NULL);
}

static const struct control_verb verbs[] = {
    {"status", control_say_status, true},
    {"sessions", control_say_sessions, false},
    {"signatures", control_say_signatures, false},
    {"explain", control_explain, false},
    {"release", control_release, false},
    {"doctor", control_doctor, false},
    {"effect", control_say_effect, false},
    {"patience", control_say_patience, false},
    {"reload", reload, true},
    {"shadow", control_shadow, false},
    {"set", control_set, false},
    {"unset", control_unset, false},
    {"drain", drain, true},
    {"dump", control_dump, false},
    {"load", control_load, false},
};

int
control_open_socket(struct control *c)
{
	const char *path = c->settings.config->control_socket;
	int rc;

	if (path[0] == '\0')
		return 0;
	rc = control_socket_start(&c->socket, &c->loop, path, verbs,
				  sizeof(verbs) / sizeof(verbs[0]), c);
	if (rc == 0)
		log_say(LOG_LEVEL_INFO, "control socket %s", path);
	/* Mail is worth more than a tool: without it all else goes on. */
	return rc == -ENOMEM ? rc : 0;
}
