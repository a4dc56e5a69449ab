/*
 * The capture: SYNs off the wire, or out of a file, into the SYN table.
 * All of pcap is behind this header.
 */
#ifndef PROXY_SIDECAR_CAPTURE_H
#define PROXY_SIDECAR_CAPTURE_H

#include <stdbool.h>

#include "tarry/syn_table.h"

#define CAPTURE_MUST_CHECK __attribute__((warn_unused_result))

struct capture;

/*
 * Opens an interface ("any": all) for SYNs to ports[] (0 ends it). Takes
 * CAP_NET_RAW; nothing after it does. *out is the caller's: capture_close().
 * Returns 0, or a negative errno after saying what is wrong and what to do.
 */
CAPTURE_MUST_CHECK int capture_open(struct capture **out, const char *interface,
				    const uint16_t ports[SYN_TABLE_PORTS_CAP]);

/*
 * Opens a capture file (pcap or pcapng) instead; reads it once to learn its
 * last time, which will be now. As capture_open() otherwise.
 */
CAPTURE_MUST_CHECK int
capture_open_file(struct capture **out, const char *path,
		  const uint16_t ports[SYN_TABLE_PORTS_CAP]);

/* NULL does nothing. */
void capture_close(struct capture *capture);

/* Where the SYNs go from now on. */
void capture_set_table(struct capture *capture, struct syn_table *table);

/* The descriptor to wait on for reading. */
int capture_fd(const struct capture *capture);

/* "any, SLL2" as said at the start. Valid until capture_close(). */
const char *capture_name(const struct capture *capture);

/* So many packets are stored at a time. */
#define CAPTURE_BATCH 256

/*
 * Stores what has arrived, CAPTURE_BATCH at most; of a file, all.
 * Returns the number of packets, or -EIO after saying what is wrong; the
 * capture is then over.
 */
CAPTURE_MUST_CHECK int capture_run(struct capture *capture);

/*
 * True, and says so, if the interface was deleted; to be asked now and then.
 * One that goes down first raises an error for that alone: pcap then finds it
 * still there, and nothing tells when it is deleted a moment later.
 */
CAPTURE_MUST_CHECK bool capture_is_gone(const struct capture *capture);

/* Brings the table's count of dropped packets up to date. */
void capture_count_dropped(struct capture *capture);

#endif
