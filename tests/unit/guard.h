/* Bytes laid against an unmapped page, so that one read too many is seen. */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_CAP 65536

/*
 * A copy of bytes[0..len) whose end touches an unmapped page; valid until the
 * next call. len <= GUARD_CAP.
 */
static inline const uint8_t *
guard_copy(const void *bytes, size_t len)
{
	static uint8_t *area;

	if (area == NULL) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);

		area = mmap(NULL, GUARD_CAP + page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED ||
		    mprotect(area + GUARD_CAP, page, PROT_NONE) != 0)
			_exit(99);
	}
	memcpy(area + GUARD_CAP - len, bytes, len);
	return area + GUARD_CAP - len;
}

#endif
