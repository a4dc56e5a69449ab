/*
 * What a follower remembers. See follow.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/ctl/follow.h"

#define WAYS 4u /* places that an id may stand at */

const char *const follow_virus_words[] = {"virus", "malware", NULL};
const char *const follow_spam_words[] = {"spam", "junk", "content", "phish",
					 NULL};

bool
follow_starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

const char *
follow_behind(const char *text, const char *with)
{
	return follow_starts(text, with) ? text + strlen(with) : NULL;
}

static char
lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool
says(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t at = 0; at + word_len <= len; at++) {
		size_t i = 0;

		while (i < word_len && lower(text[at + i]) == word[i])
			i++;
		if (i == word_len)
			return true;
	}
	return false;
}

bool
follow_says(const char *text, size_t len, const char *const *words)
{
	for (; *words != NULL; words++)
		if (says(text, len, *words))
			return true;
	return false;
}

static void
say_no_port(struct follow *f)
{
	if (!f->is_told)
		fputs("tarryctl: the log names no client's port, so refusals "
		      "can not be told, and mails by their queue id alone; see "
		      "tarryctl(8), follow\n",
		      stderr);
	f->is_told = true;
}

const char *
follow_client(struct follow *f, const char *text, char out[ADDR_TEXT_CAP])
{
	const char *close = text[0] == '[' ? strchr(text, ']') : NULL;
	size_t digits;
	struct addr a;

	if (close == NULL ||
	    !addr_parse_ip(&a, text + 1, (size_t)(close - text) - 1))
		return NULL;
	out[0] = '\0';
	digits = close[1] == ':' ? strspn(close + 2, "0123456789") : 0;
	if (digits == 0) {
		say_no_port(f);
		return close + 1;
	}
	(void)snprintf(out, ADDR_TEXT_CAP,
		       a.family == 6 ? "[%.*s]:%.*s" : "%.*s:%.*s",
		       (int)(close - text) - 1, text + 1,
		       digits < 6 ? (int)digits : 6, close + 2);
	if (!addr_parse(&a, out, strlen(out)) || a.port == 0)
		return NULL;
	return close + 2 + digits;
}

const char *
follow_address(const char *text)
{
	bool is_quoted = false;

	for (; *text != '\0'; text++) {
		if (is_quoted && *text == '\\' && text[1] != '\0')
			text++;
		else if (*text == '"')
			is_quoted = !is_quoted;
		else if (*text == '>' && !is_quoted)
			return text + 1;
	}
	return NULL;
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

	if ((client != NULL && client[0] != '\0') ||
	    (id != NULL && id[0] != '\0'))
		f->tell(f->ctx, &out);
}
