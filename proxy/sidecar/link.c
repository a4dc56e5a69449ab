/*
 * Link layers. Only what SYNs come in by: a new one is a row.
 */
#include "proxy/sidecar/link.h"

#include <pcap/pcap.h>

enum ether_type {
	ETHER_IPV4 = 0x0800,
	ETHER_IPV6 = 0x86dd,
	ETHER_VLAN = 0x8100,
	ETHER_PROVIDER = 0x88a8
};

/* Packet types of cooked captures (packet(7), sll_pkttype). */
enum packet_type { PACKET_FOR_HOST = 0, PACKET_FROM_HOST = 4 };

#define VLAN_TAGS_MAX 2

static unsigned int
get16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static bool
is_ip(unsigned int ether_type)
{
	return ether_type == ETHER_IPV4 || ether_type == ETHER_IPV6;
}

static int
ethernet_ip(const uint8_t *frame, size_t len)
{
	size_t at = 12;

	for (int tags = 0; at + 2 <= len; tags++, at += 4) {
		unsigned int type = get16(frame + at);

		if (is_ip(type))
			return (int)at + 2;
		if (tags == VLAN_TAGS_MAX ||
		    (type != ETHER_VLAN && type != ETHER_PROVIDER))
			break;
	}
	return -1;
}

/* FROM_HOST is seen in files alone: live capture takes what comes in. */
static bool
is_ours(unsigned int packet_type)
{
	return packet_type == PACKET_FOR_HOST ||
	       packet_type == PACKET_FROM_HOST;
}

static int
sll_ip(const uint8_t *frame, size_t len)
{
	return len >= 16 && is_ours(get16(frame)) && is_ip(get16(frame + 14))
		   ? 16
		   : -1;
}

static int
sll2_ip(const uint8_t *frame, size_t len)
{
	return len >= 20 && is_ours(frame[10]) && is_ip(get16(frame)) ? 20 : -1;
}

/* The family in front is in the writer's byte order: the IP version tells. */
static int
loopback_ip(const uint8_t *frame, size_t len)
{
	(void)frame;
	return len >= 4 ? 4 : -1;
}

static int
raw_ip(const uint8_t *frame, size_t len)
{
	(void)frame;
	(void)len;
	return 0;
}

static const struct link {
	int datalink;
	int (*ip)(const uint8_t *frame, size_t len);
} links[] = {
    {DLT_EN10MB, ethernet_ip}, {DLT_LINUX_SLL, sll_ip},
    {DLT_LINUX_SLL2, sll2_ip}, {DLT_RAW, raw_ip},
    {DLT_IPV4, raw_ip},	       {DLT_IPV6, raw_ip},
    {DLT_NULL, loopback_ip},   {DLT_LOOP, loopback_ip},
};

static const struct link *
find_link(int datalink)
{
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (links[i].datalink == datalink)
			return &links[i];
	}
	return NULL;
}

bool
link_is_known(int datalink)
{
	return find_link(datalink) != NULL;
}

int
link_ip(int datalink, const uint8_t *frame, size_t len)
{
	const struct link *link = find_link(datalink);

	return link != NULL ? link->ip(frame, len) : -1;
}
