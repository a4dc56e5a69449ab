/*
 * The IP packets of a capture file, whatever link they were taken from.
 */
#ifndef PROXY_CTL_CAPTURE_FILE_H
#define PROXY_CTL_CAPTURE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* A packet from its IP header on, as much as was captured. */
typedef void capture_packet_fn(void *ctx, const uint8_t *ip, size_t len);

/*
 * Calls take(ctx, ..) with each packet of a pcap or pcapng file; "-" is
 * standard input. Returns 0, or -1 and has said why on standard error; the
 * packets in front of the mistake were taken then.
 */
int capture_file_read(const char *path, capture_packet_fn *take, void *ctx);

#endif
