/*
 * Lines that anybody sends as verdicts. Whatever is taken can be looked for.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proxy/evidence/verdict_book.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct verdict_book *book;
	static uint64_t id;
	const uint64_t now_ms = UINT64_C(1700000000000);
	struct session_item item = {.id = ++id};
	struct verdict_session session;
	struct verdict_line line;

	if (book == NULL)
		book = verdict_book_new(64);
	if (book == NULL ||
	    verdict_line_read(&line, (const char *)bytes, len) != NULL)
		return 0;
	if (line.client.family == 0 && line.id[0] == '\0')
		abort();
	item.client = line.client;
	if (line.client.family != 0)
		verdict_book_note(book, &item, now_ms);
	(void)verdict_book_join(book, &line, now_ms, &session);
	return 0;
}
