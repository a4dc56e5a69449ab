/* Link layers: where the IP header starts in a captured frame. Pure. */
#ifndef PROXY_SIDECAR_LINK_H
#define PROXY_SIDECAR_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if link_ip() knows this link type (pcap's DLT_* number). */
bool link_is_known(int datalink);

/*
 * The offset of the IP header in frame[0..len): Ethernet with up to two VLAN
 * tags, raw IP, BSD loopback, Linux "cooked" captures of both versions.
 * Returns it, <= len, or -1 if the frame carries no IP, ends before it, or is
 * not for this host (cooked captures say so; the kernel's TCP takes no other).
 */
int link_ip(int datalink, const uint8_t *frame, size_t len);

#endif
