#include "proxy/ctl/capture_file.h"

#include <pcap/pcap.h>
#include <stdio.h>

#define ETHERNET_TYPE_AT 12u
#define VLAN_TAGS_MAX 2u

/* Bytes in front of the IP header; -1: not a link that is known. */
static int
link_hlen(pcap_t *capture, const struct pcap_pkthdr *h, const u_char *bytes)
{
	bpf_u_int32 at = ETHERNET_TYPE_AT;

	switch (pcap_datalink(capture)) {
	case DLT_EN10MB:
		/* 802.1Q and 802.1ad. */
		while (at < ETHERNET_TYPE_AT + 4 * VLAN_TAGS_MAX &&
		       h->caplen >= at + 2 &&
		       ((bytes[at] == 0x81 && bytes[at + 1] == 0x00) ||
			(bytes[at] == 0x88 && bytes[at + 1] == 0xa8)))
			at += 4;
		return (int)at + 2;
	case DLT_LINUX_SLL:
		return 16;
	case DLT_LINUX_SLL2:
		return 20;
	case DLT_NULL:
	case DLT_LOOP:
		return 4;
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return 0;
	default:
		return -1;
	}
}

static int
read_packets(pcap_t *capture, const char *path, capture_packet_fn *take,
	     void *ctx)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;
	int status;

	while ((status = pcap_next_ex(capture, &h, &bytes)) == 1) {
		const int hlen = link_hlen(capture, h, bytes);

		if (hlen < 0) {
			fprintf(stderr,
				"tarryctl: %s: link type %d is not known\n",
				path, pcap_datalink(capture));
			return -1;
		}
		if (h->caplen > (bpf_u_int32)hlen)
			take(ctx, bytes + hlen, h->caplen - (bpf_u_int32)hlen);
	}
	if (status == PCAP_ERROR_BREAK)
		return 0;
	fprintf(stderr, "tarryctl: %s: %s\n", path, pcap_geterr(capture));
	return -1;
}

int
capture_file_read(const char *path, capture_packet_fn *take, void *ctx)
{
	char error[PCAP_ERRBUF_SIZE];
	pcap_t *capture = pcap_open_offline(path, error);
	int rc;

	if (capture == NULL) {
		fprintf(stderr, "tarryctl: %s: %s\n", path, error);
		return -1;
	}
	rc = read_packets(capture, path, take, ctx);
	pcap_close(capture);
	return rc;
}
