/*
 * What a follower remembers. See follow.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/follow.h"

#define WAYS 4u /* places that an id may stand at */

const char *
follow_client(struct follow *f, const char *text, char out[ADDR_TEXT_CAP])
{
	const char *open = strchr(text, '[');
	const char *close = open != NULL ? strchr(open, ']') : NULL;
	size_t digits;
	size_t len;
	struct addr a;

	if (close == NULL)
		return NULL;
	len = (size_t)(close - open) - 1;
	if (!addr_parse_ip(&a, open + 1, len))
		return NULL;
	digits = close[1] == ':' ? strspn(close + 2, "0123456789") : 0;
	if (digits == 0 || digits > 5) {
		if (!f->is_told)
			fprintf(stderr,
				"tarryctl: the log names no client's port, so "
				"its mail can not be told; see tarryctl(8), "
				"follow\n");
		f->is_told = true;
		return NULL;
	}
	(void)snprintf(out, ADDR_TEXT_CAP,
		       a.family == 6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)len,
		       open + 1, (int)digits, close + 2);
	return close + 2 + digits;
}

bool
follow_id(char out[FOLLOW_ID_CAP], const char *text, size_t len)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz0123456789-";

	if (len < 6 || len >= FOLLOW_ID_CAP)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return strspn(out, good) == len;
}

/* The first of the places of an id. */
static uint32_t
set_of(const char *id)
{
	uint32_t hash = 2166136261u;

	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return (hash ^ hash >> 16) & (FOLLOW_MAILS - WAYS);
}

static struct follow_mail *
find(struct follow_mail *mails, const char *id)
{
	struct follow_mail *set = &mails[set_of(id)];

	for (unsigned i = 0; i < WAYS; i++)
		if (strcmp(set[i].id, id) == 0)
			return &set[i];
	return NULL;
}

void
follow_learn(struct follow *f, const char *id, const char *client)
{
	struct follow_mail *set = &f->mails[set_of(id)];
	struct follow_mail *m = find(f->mails, id);

	for (unsigned i = 0; i < WAYS && m == NULL; i++)
		if (set[i].id[0] == '\0')
			m = &set[i];
	if (m == NULL)
		m = &set[f->evicted++ % WAYS];
	(void)snprintf(m->id, sizeof(m->id), "%s", id);
	(void)snprintf(m->client, sizeof(m->client), "%s", client);
}

const char *
follow_whose(const struct follow *f, const char *id)
{
	const struct follow_mail *set = &f->mails[set_of(id)];

	for (unsigned i = 0; i < WAYS; i++)
		if (strcmp(set[i].id, id) == 0)
			return set[i].client;
	return NULL;
}

void
follow_forget(struct follow *f, const char *id)
{
	struct follow_mail *m = find(f->mails, id);

	if (m != NULL)
		m->id[0] = '\0';
}

void
follow_tell(struct follow *f, const char *verdict, const char *client,
	    const char *id)
{
	const struct verdict_out out = {
	    .verdict = verdict,
	    .source = f->source,
	    .client = client,
	    .id = id,
	};

	(void)verdict_sender_send(&f->sender, &out);
}
