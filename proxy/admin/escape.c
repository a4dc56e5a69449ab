#include "proxy/admin/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "\xNN" */
#define ESCAPED_LEN 4

size_t
escape_text(const char *bytes, size_t len, char *out, size_t cap)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)bytes[i];
		char piece[ESCAPED_LEN + 1] = {bytes[i]};
		size_t piece_len;

		if (byte == '\\')
			piece[1] = '\\';
		else if (byte < ' ' || byte > '~')
			(void)snprintf(piece, sizeof(piece), "\\x%02x", byte);
		piece_len = strlen(piece);
		if (at + piece_len >= cap)
			break;
		memcpy(out + at, piece, piece_len);
		at += piece_len;
	}
	out[at] = '\0';
	return at;
}

json_t *
escape_json(const char *bytes, size_t len)
{
	size_t cap = len * ESCAPED_LEN + 1;
	char *text = malloc(cap);
	json_t *json = NULL;

	if (text == NULL)
		return NULL;
	json = json_stringn(text, escape_text(bytes, len, text, cap));
	free(text);
	return json;
}
