/* A session's names as texts of rows, coarse and fine. */
#include "tarry/reputation.h"

#include <string.h>

/* Bits of the address; IPv4 is mapped. */
enum { V4_CLIENT = 128, V4_NETWORK = 120, V4_REGION = 112 };
enum { V6_CLIENT = 64, V6_NETWORK = 48, V6_REGION = 32 };

#define PAIR_CAP (2 * SIGNATURE_TEXT_CAP)

static void
name(struct history_keys *out, const struct ledger *l, enum ledger_kind kind,
     const char *text, size_t len)
{
	out->keys[kind] = ledger_key(l, kind, text, len);
	out->known |= 1u << kind;
}

/* `192.0.2.0/24`; a whole address without its length. */
static void
name_net(struct history_keys *out, const struct ledger *l,
	 enum ledger_kind kind, const struct addr *client, unsigned bits)
{
	const unsigned shown = client->family == 4 ? bits - 96 : bits;
	struct addr net = *client;
	char text[ADDR_TEXT_CAP + 4];
	size_t len;

	for (unsigned i = bits / 8; i < sizeof(net.ip); i++)
		net.ip[i] = 0;
	len = addr_ip_text(&net, text, ADDR_TEXT_CAP);
	if (bits < 128) {
		text[len++] = '/';
		if (shown >= 10)
			text[len++] = (char)('0' + shown / 10);
		text[len++] = (char)('0' + shown % 10);
	}
	name(out, l, kind, text, len);
}

static void
name_place(struct history_keys *out, const struct ledger *l,
	   const struct addr *client)
{
	const bool is_v4 = client->family == 4;

	name_net(out, l, LEDGER_CLIENT, client, is_v4 ? V4_CLIENT : V6_CLIENT);
	name_net(out, l, LEDGER_NETWORK, client,
		 is_v4 ? V4_NETWORK : V6_NETWORK);
	name_net(out, l, LEDGER_REGION, client, is_v4 ? V4_REGION : V6_REGION);
}

static void
name_signature(struct history_keys *out, const struct ledger *l,
	       const struct signature_texts *t)
{
	static const enum ledger_kind kinds[SIGNATURE_LEVELS] = {
	    [SIGNATURE_SYN] = LEDGER_SYN,
	    [SIGNATURE_STACK] = LEDGER_STACK,
	    [SIGNATURE_FAMILY] = LEDGER_FAMILY};

	for (size_t i = 0; i < SIGNATURE_LEVELS; i++)
		name(out, l, kinds[i], t->text[i], t->len[i]);
}

static void
name_pair(struct history_keys *out, const struct ledger *l,
	  const struct signature_texts *t, const char *dialect)
{
	char pair[PAIR_CAP];
	const size_t len = t->len[SIGNATURE_STACK];
	size_t more = strlen(dialect);

	if (more > PAIR_CAP - len - 1)
		more = PAIR_CAP - len - 1;
	memcpy(pair, t->text[SIGNATURE_STACK], len);
	pair[len] = ' ';
	memcpy(pair + len + 1, dialect, more);
	name(out, l, LEDGER_PAIR, pair, len + 1 + more);
}

void
history_keys_make(struct history_keys *out, const struct ledger *l,
		  const struct history_names *names)
{
	out->known = 0;
	name(out, l, LEDGER_ALL, "all", 3);
	if (names->client != NULL && names->client->family != 0)
		name_place(out, l, names->client);
	if (names->signature != NULL)
		name_signature(out, l, names->signature);
	if (names->dialect != NULL)
		name(out, l, LEDGER_DIALECT, names->dialect,
		     strlen(names->dialect));
	if (names->signature != NULL && names->dialect != NULL)
		name_pair(out, l, names->signature, names->dialect);
	if (names->ja4 != NULL)
		name(out, l, LEDGER_JA4, names->ja4, strlen(names->ja4));
	if (names->pool != NULL)
		name(out, l, LEDGER_POOL, names->pool, strlen(names->pool));
}

void
history_find(struct history *h, const struct ledger *l,
	     const struct history_keys *keys, uint32_t now_s)
{
	memset(h->rows, 0, sizeof(h->rows));
	h->now_s = now_s;
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		if ((keys->known & 1u << i) != 0)
			ledger_prefetch(l, &keys->keys[i]);
	}
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		if ((keys->known & 1u << i) != 0)
			(void)ledger_find(l, &keys->keys[i], now_s,
					  &h->rows[i]);
	}
}

void
history_add(struct ledger *l, const struct history_keys *keys,
	    const struct ledger_delta *delta, uint32_t now_s)
{
	struct ledger_delta d = *delta;

	if ((keys->known & 1u << LEDGER_NETWORK) != 0)
		d.network = keys->keys[LEDGER_NETWORK].hash;
	for (size_t i = 0; i < LEDGER_KINDS; i++) {
		if ((keys->known & 1u << i) != 0)
			(void)ledger_add(l, &keys->keys[i], &d, now_s);
	}
}
