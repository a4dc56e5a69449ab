/*
 * Prints what Tarry makes of the SYNs of a capture file, one line each:
 *   192.0.2.1 40000 L0 | L1 | L2 | label (quality)
 * Malformed packets that might be SYNs are printed with the name of what is
 * wrong. Usage: syn_text FILE.pcap [LABELS...]
 */
#include "proxy/config/labels.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

static int
link_hlen(pcap_t *capture, const struct pcap_pkthdr *h, const u_char *bytes)
{
	switch (pcap_datalink(capture)) {
	case DLT_EN10MB: {
		bpf_u_int32 at = 12;
		/* 802.1Q and 802.1ad tags, two at most. */
		while (at <= 16 && h->caplen >= at + 2 &&
		       ((bytes[at] == 0x81 && bytes[at + 1] == 0x00) ||
			(bytes[at] == 0x88 && bytes[at + 1] == 0xa8)))
			at += 4;
		return (int)at + 2;
	}
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

static void
print_label(const struct labels *labels, const struct syn *s)
{
	enum label_quality quality;
	const char *name = labels_find(labels, s, &quality);

	printf(" | %s (%s)\n", name != NULL ? name : "-",
	       label_quality_name(quality));
}

static void
print_syn(const struct labels *labels, const struct syn *s)
{
	char address[ADDR_TEXT_CAP];
	char text[SIGNATURE_TEXT_CAP];

	addr_ip_text(&s->src, address, sizeof(address));
	printf("%s %u ", address, s->src.port);
	signature_text(SIGNATURE_SYN, s, text, sizeof(text));
	printf("%s | ", text);
	signature_text(SIGNATURE_STACK, s, text, sizeof(text));
	printf("%s | ", text);
	signature_text(SIGNATURE_FAMILY, s, text, sizeof(text));
	printf("%s", text);
	print_label(labels, s);
}

static void
print_packet(const struct labels *labels, const u_char *ip, size_t len)
{
	struct syn s;
	const int used = syn_parse(&s, ip, len);

	if (used > 0)
		print_syn(labels, &s);
	else if (used != SYN_BAD_NOT_SYN && used != SYN_BAD_NOT_TCP &&
		 used != SYN_BAD_VERSION && used != SYN_BAD_EMPTY)
		printf("- - malformed %s\n", syn_malformed_name(used));
}

static void
print_report(void *user, enum labels_severity severity, const char *message)
{
	(void)user;
	fprintf(stderr, "%s%s\n", severity == LABELS_WARNING ? "warning: " : "",
		message);
}

static int
load_labels(struct labels *labels, char **paths)
{
	for (; *paths != NULL; paths++) {
		const int count =
		    labels_load(labels, *paths, print_report, NULL);
		if (count < 0) {
			fprintf(stderr, "%s: error %d\n", *paths, -count);
			return count;
		}
	}
	labels_check(labels, print_report, NULL);
	return 0;
}

static int
print_capture(const struct labels *labels, pcap_t *capture)
{
	struct pcap_pkthdr *h;
	const u_char *bytes;
	int status;

	while ((status = pcap_next_ex(capture, &h, &bytes)) == 1) {
		const int hlen = link_hlen(capture, h, bytes);
		if (hlen < 0) {
			fprintf(stderr, "link type %d is not known\n",
				pcap_datalink(capture));
			return -1;
		}
		if (h->caplen > (bpf_u_int32)hlen)
			print_packet(labels, bytes + hlen,
				     h->caplen - (bpf_u_int32)hlen);
	}
	return status == PCAP_ERROR_BREAK ? 0 : status;
}

int
main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	int status = EXIT_FAILURE;
	pcap_t *capture = NULL;

	if (argc < 2) {
		fprintf(stderr, "usage: syn_text FILE.pcap [LABELS...]\n");
		return EXIT_FAILURE;
	}
	struct labels *labels = labels_new();
	if (labels == NULL || load_labels(labels, argv + 2) != 0)
		goto free_labels;
	capture = pcap_open_offline(argv[1], error);
	if (capture == NULL) {
		fprintf(stderr, "%s\n", error);
		goto free_labels;
	}
	if (print_capture(labels, capture) == 0)
		status = EXIT_SUCCESS;
	pcap_close(capture);
free_labels:
	labels_free(labels);
	return status;
}
