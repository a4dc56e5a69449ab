/*
 * Bytes as what a resolver answers; the first byte says to which question.
 *
 * What must hold: no byte behind the message is read; a list's word is one of
 * the kinds that a list can have, and such as was asked for; names that come
 * out may be asked for in turn, and a pool is the end of its name.
 */
#include "proxy/config/lists.h"
#include "proxy/evidence/dns_answer.h"
#include "proxy/evidence/pool.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct addr v4 = {.ip = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7},
			       .family = 4};
static const struct addr v6 = {.ip = {0x20, 1, 0x0d, 0xb8, [15] = 7},
			       .family = 6};

static void
check_list(const unsigned char *msg, size_t len, bool is_allow)
{
	struct config_list list = {.name = "x", .is_allow = is_allow};
	struct value_why why;
	char domain[100];
	uint32_t ttl_s;
	enum dns_kind kind;

	if (!lists_zone("x.test=127.0.[0..9].[2..11]", &list, domain,
			sizeof(domain), &why))
		abort();
	kind = dns_judge_list(&list, msg, len, &ttl_s);
	if (kind != DNS_LISTED && kind != DNS_CLEAR && kind != DNS_BLOCKED &&
	    kind != DNS_ODD && kind != DNS_FAILED)
		abort();
	if (kind == DNS_LISTED && ttl_s == 0)
		abort();
}

static void
check_pool(const struct addr *a, const char *name)
{
	static struct pools *pools;
	char pool[POOL_TEXT_CAP];
	size_t name_len = strlen(name);
	size_t len;

	if (pools == NULL)
		pools = pools_open();
	if (pools == NULL || !pools_find(pools, a, name, pool))
		return;
	len = strlen(pool);
	if (name[name_len - 1] == '.')
		name_len--;
	if (len == 0 || len > name_len || strchr(pool, '.') == NULL)
		abort();
	for (size_t i = 0; i < len; i++) {
		char c = name[name_len - len + i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != pool[i])
			abort();
	}
}

static void
check_names(const struct addr *a, const unsigned char *msg, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	char names[DNS_NAMES_CAP][DNS_NAME_CAP];
	int count = dns_names(a, msg, len, names);

	if (count < -1 || count > DNS_NAMES_CAP)
		abort();
	for (int i = 0; i < count; i++) {
		if (memchr(names[i], '\0', DNS_NAME_CAP) == NULL ||
		    names[i][0] == '\0' ||
		    names[i][strspn(names[i], letters)] != '\0')
			abort();
		check_pool(a, names[i]);
	}
}

static void
check_name(const struct addr *a, const unsigned char *msg, size_t len)
{
	uint32_t ttl_s;
	enum dns_kind kind = dns_judge_name(a, msg, len, &ttl_s);

	if (kind != DNS_CONFIRMED && kind != DNS_UNCONFIRMED &&
	    kind != DNS_FAILED)
		abort();
	/* Who is confirmed has its address somewhere in the answer. */
	if (kind == DNS_CONFIRMED && a->family == 4 &&
	    memmem(msg, len, a->ip + 12, 4) == NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct addr *a;
	unsigned char *msg;

	if (len == 0 || len > UINT16_MAX)
		return 0;
	a = (bytes[0] & 1) != 0 ? &v4 : &v6;
	/* As a heap copy, so that a look beyond its end is seen. */
	msg = malloc(len);
	if (msg == NULL)
		abort();
	memcpy(msg, bytes + 1, --len);
	check_list(msg, len, (bytes[0] & 2) != 0);
	check_names(a, msg, len);
	check_name(a, msg, len);
	free(msg);
	return 0;
}
