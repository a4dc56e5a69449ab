/*
 * Lines of logs: peers chose parts of them. What is told is a verdict that
 * tarryd understands, of a client that stands in the line in brackets.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/ctl/follow.h"
#include "proxy/evidence/verdict_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check(void *ctx, const struct verdict_out *out)
{
	bool has_client = out->client != NULL && out->client[0] != '\0';
	struct verdict_line line;
	char text[600];
	int len;

	(void)ctx;
	len = snprintf(text, sizeof(text), "{\"verdict\":\"%s\"%s%s%s%s%s%s}",
		       out->verdict, has_client ? ",\"client\":\"" : "",
		       has_client ? out->client : "", has_client ? "\"" : "",
		       out->id != NULL ? ",\"id\":\"" : "",
		       out->id != NULL ? out->id : "",
		       out->id != NULL ? "\"" : "");
	if (len < 0 || (size_t)len >= sizeof(text) ||
	    verdict_line_read(&line, text, (size_t)len) != NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static follow_line_fn *const takes[] = {
	    follow_postfix_line, follow_exim_line, follow_rspamd_line};
	static struct follow f;
	follow_line_fn *take;
	char *lines;

	if (len == 0)
		return 0;
	f.tell = check;
	f.is_told = true;
	take = takes[bytes[0] % 3];
	lines = malloc(len);
	if (lines == NULL)
		return 0;
	memcpy(lines, bytes + 1, len - 1);
	lines[len - 1] = '\0';
	for (char *at = lines, *end; at != NULL; at = end) {
		end = strchr(at, '\n');
		if (end != NULL)
			*end++ = '\0';
		take(&f, at);
	}
	free(lines);
	return 0;
}
