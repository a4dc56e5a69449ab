/*
 * One text for one meaning: what config_print_effective() says, less where it
 * came from, and the bytes of the files that values name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "proxy/config/config.h"
#include "proxy/config/tree.h"

static void
add_file(XXH3_state_t *state, const char *path)
{
	char bytes[2048];
	FILE *in = fopen(path, "re");
	size_t n;

	if (in == NULL)
		return;
	while ((n = fread(bytes, 1, sizeof bytes, in)) > 0)
		XXH3_128bits_update(state, bytes, n);
	fclose(in);
}

/* The files in a value: `192.0.2.0/24, @/etc/tarry/friends.list`. */
static void
add_files(XXH3_state_t *state, const char *value)
{
	for (const char *at = strchr(value, '@'); at != NULL;
	     at = strchr(at + 1, '@')) {
		char path[1024];
		size_t len = strcspn(at + 1, ", \t");

		if (at > value && strchr(", \t", at[-1]) == NULL)
			continue;
		snprintf(path, sizeof path, "%.*s", (int)len, at + 1);
		add_file(state, path);
	}
}

static void
add_lists(XXH3_state_t *state, const struct tree *tree)
{
	for (size_t i = 0; i < tree->sections_count; i++) {
		const struct tree_section *s = &tree->sections[i];

		for (size_t k = 0; k < s->entries_count; k++)
			add_files(state, s->entries[k].value);
	}
}

/* The effective configuration, less the comments that say where from. */
static void
add_values(XXH3_state_t *state, char *text)
{
	char *rest;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *comment = strstr(line, "  ; ");
		size_t len = strlen(line);

		if (comment != NULL)
			len = (size_t)(comment - line);
		XXH3_128bits_update(state, line, len);
		XXH3_128bits_update(state, "\n", 1);
	}
}

void
config_hash(const struct config *config, char out[CONFIG_HASH_CAP])
{
	XXH3_state_t *state = XXH3_createState();
	char *text = NULL;
	size_t len;
	FILE *print = open_memstream(&text, &len);
	XXH128_hash_t hash;

	out[0] = '\0';
	if (print != NULL) {
		config_print_effective(config, print);
		fclose(print);
	}
	if (state != NULL && text != NULL) {
		XXH3_128bits_reset(state);
		add_values(state, text);
		add_lists(state, config->tree);
		hash = XXH3_128bits_digest(state);
		snprintf(out, CONFIG_HASH_CAP, "%016llx%016llx",
			 (unsigned long long)hash.high64,
			 (unsigned long long)hash.low64);
	}
	free(text);
	XXH3_freeState(state);
}
