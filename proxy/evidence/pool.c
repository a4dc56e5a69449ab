#include "proxy/evidence/pool.h"

#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CAP 256
/* Of an IPv4 address's four numbers; two are in names of mail servers too. */
#define OWN_NUMBERS 3

struct pools {
	psl_ctx_t *psl;
};

struct pools *
pools_open(void)
{
	struct pools *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->psl = psl_latest(NULL);
	if (p->psl == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

void
pools_close(struct pools *p)
{
	if (p == NULL)
		return;
	psl_free(p->psl);
	free(p);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes one of the numbers that is `value`; false if none is left of it. */
static bool
take_number(unsigned left[4], unsigned value)
{
	for (size_t i = 0; i < 4; i++) {
		if (left[i] == value) {
			left[i] = UINT32_MAX;
			return true;
		}
	}
	return false;
}

/* How many of the address's four numbers stand in the name as such. */
static unsigned
count_numbers(const uint8_t ip[4], const char *name)
{
	unsigned left[4] = {ip[0], ip[1], ip[2], ip[3]};
	unsigned found = 0;

	while (*name != '\0') {
		unsigned value = 0;
		bool is_number = is_digit(*name);

		for (; is_digit(*name); name++) {
			if (value < 1000)
				value = value * 10 + (unsigned)(*name - '0');
		}
		if (!is_number)
			name++;
		else if (take_number(left, value))
			found++;
	}
	return found;
}

static bool
has_hex(const uint8_t ip[4], const char *name)
{
	char hex[9];

	snprintf(hex, sizeof(hex), "%02x%02x%02x%02x", ip[0], ip[1], ip[2],
		 ip[3]);
	return strstr(name, hex) != NULL;
}

/* True if the address is written into the name, which is in lower case. */
static bool
is_own_address(const struct addr *a, const char *name)
{
	if (a->family != 4)
		return false;
	return count_numbers(a->ip + 12, name) >= OWN_NUMBERS ||
	       has_hex(a->ip + 12, name);
}

/* Also without a final dot. Returns false if it is too long. */
static bool
lower(const char *name, char out[NAME_CAP])
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len >= NAME_CAP)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[len] = '\0';
	return true;
}

bool
pools_find(const struct pools *p, const struct addr *a, const char *name,
	   char out[POOL_TEXT_CAP])
{
	char text[NAME_CAP];
	const char *domain;

	if (p == NULL || !lower(name, text) || is_own_address(a, text))
		return false;
	domain = psl_registrable_domain(p->psl, text);
	if (domain == NULL || strlen(domain) >= POOL_TEXT_CAP)
		return false;
	strcpy(out, domain); /* it fits */
	return true;
}
