#include "proxy/simulate/who.h"

#include <string.h>

#include "tarry/reputation.h"

#define IP_BITS 128u
#define SPREAD_BITS 63u
#define V4_PREFIX 96u
#define CLIENT_V6 8 /* bytes */
#define NETWORK_V4 15
#define NETWORK_V6 6

static bool
is_v4(const struct net *n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return n->bits >= V4_PREFIX &&
	       memcmp(n->ip, mapped, sizeof(mapped)) == 0;
}

/* Bits behind the prefix that make addresses. */
static unsigned
host_bits(const struct net *n)
{
	const unsigned bits = IP_BITS - n->bits;

	return bits < SPREAD_BITS ? bits : SPREAD_BITS;
}

uint32_t
who_room(const struct net *network)
{
	const uint64_t room = (uint64_t)1 << host_bits(network);

	return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

void
who_address(const struct scenario_kind *kind, uint32_t number, struct addr *out)
{
	const struct net *n = &kind->network;
	const unsigned bits = host_bits(n);
	const uint64_t step = ((uint64_t)1 << bits) / kind->clients;
	uint64_t host = step * number + step / 2;
	uint8_t ip[16];

	memcpy(ip, n->ip, sizeof(ip));
	for (unsigned i = n->bits + bits; i > n->bits; i--, host >>= 1) {
		if ((host & 1) != 0)
			ip[(i - 1) / 8] |= (uint8_t)(0x80 >> (i - 1) % 8);
	}
	if (is_v4(n))
		addr_set_v4(out, ip + 12, 40000);
	else
		addr_set_v6(out, ip, 40000);
}

/* A hash of so many bytes; 0 means "not known". */
static uint64_t
mix(uint64_t kind, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t h = kind;

	for (size_t i = 0; i < len; i++)
		h = dice_mix(h, at[i]);
	return h | 1;
}

void
who_keys(const struct scenario_kind *kind, const struct addr *client,
	 struct place_keys *out)
{
	const bool v4 = client->family == 4;
	const struct signature_texts *t = &kind->syn_texts;

	out->key[PLAN_CAP_CLIENT] =
	    mix(1, client->ip, v4 ? sizeof(client->ip) : CLIENT_V6);
	out->key[PLAN_CAP_NETWORK] =
	    mix(2, client->ip, v4 ? NETWORK_V4 : NETWORK_V6);
	out->key[PLAN_CAP_STACK] =
	    kind->has_syn
		? mix(3, t->text[SIGNATURE_STACK], t->len[SIGNATURE_STACK])
		: 0;
}

static void
set_if(struct evidence *e, enum evidence_kind kind, bool is_there)
{
	if (is_there)
		e->present |= evidence_bit(kind);
}

/* NULL for "", which is none. */
static const char *
text_or_none(const char *text)
{
	return *text != '\0' ? text : NULL;
}

static void
tell_syn(const struct scenario_kind *k, struct evidence *e)
{
	e->label = text_or_none(k->label);
	set_if(e, EVIDENCE_LABEL, e->label != NULL);
	if (!k->has_syn)
		return;
	e->syn = k->syn;
	e->texts = &k->syn_texts;
	set_if(e, EVIDENCE_SYN, true);
	set_if(e, EVIDENCE_STACK, true);
	set_if(e, EVIDENCE_FAMILY, true);
	set_if(e, EVIDENCE_MSS, k->syn.mss != SYN_MSS_ABSENT);
}

/* What lists, names and memory say. */
static void
tell_standing(const struct scenario_kind *k, struct evidence *e)
{
	e->asn = k->asn;
	set_if(e, EVIDENCE_ASN, k->asn > 0);
	e->dnsbl = k->dnsbl;
	set_if(e, EVIDENCE_DNSBL, k->dnsbl > 0);
	e->dnswl = k->dnswl;
	set_if(e, EVIDENCE_DNSWL, k->dnswl > 0);
	e->ptr = evidence_ptr_name((enum evidence_ptr)k->ptr);
	set_if(e, EVIDENCE_PTR, e->ptr != NULL);
	e->is_proven = k->is_proven;
	set_if(e, EVIDENCE_PROVEN, k->is_proven);
	if (k->reputation == REPUTATION_UNKNOWN)
		return;
	e->reputation =
	    reputation_name((enum reputation_standing)k->reputation);
	set_if(e, EVIDENCE_REPUTATION, true);
}

void
who_facts(const struct scenario_kind *kind, const char *listener,
	  struct evidence *out)
{
	memset(out, 0, sizeof(*out));
	set_if(out, EVIDENCE_NETWORK, true);
	set_if(out, EVIDENCE_LISTED, true);
	out->listener = *kind->listener != '\0' ? kind->listener : listener;
	set_if(out, EVIDENCE_LISTENER, out->listener != NULL);
	out->ja4 = text_or_none(kind->ja4);
	set_if(out, EVIDENCE_JA4, out->ja4 != NULL);
	out->dialect = text_or_none(kind->dialect);
	set_if(out, EVIDENCE_DIALECT, out->dialect != NULL);
	tell_syn(kind, out);
	tell_standing(kind, out);
}
