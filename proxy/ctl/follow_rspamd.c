/*
 * What rspamd's metadata_exporter says with `formatter = "json"`: an object a
 * mail, with the MTA's queue id and what is to be done. It names the client's
 * address without a port, so the queue id is all there is to go by.
 */
#include <jansson.h>
#include <string.h>

#include "proxy/ctl/follow.h"

static const struct {
	const char *action;
	const char *verdict;
} actions[] = {
    {"no action", "ham"},	 {"reject", "spam"},
    {"add header", "spam"},	 {"rewrite subject", "spam"},
    {"quarantine", "spam"},	 {"discard", "spam"},
    {"soft reject", "deferred"}, {"greylist", "deferred"},
};

static void
on_object(struct follow *f, const json_t *line)
{
	const char *action = json_string_value(json_object_get(line, "action"));
	const char *qid = json_string_value(json_object_get(line, "qid"));
	char id[FOLLOW_ID_CAP];

	/* It says "unknown" of what the MTA did not tell. */
	if (action == NULL || qid == NULL || strcmp(qid, "unknown") == 0 ||
	    !follow_id(id, qid, strlen(qid)))
		return;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(action, actions[i].action) == 0)
			follow_tell(f, actions[i].verdict, NULL, id);
}

void
follow_rspamd_line(struct follow *f, const char *line)
{
	json_t *object = json_loads(line, JSON_ALLOW_NUL, NULL);

	if (json_is_object(object))
		on_object(f, object);
	json_decref(object);
}
