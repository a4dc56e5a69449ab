/*
 * libpcap. Settings that were measured, not guessed:
 *  - immediate mode: without it a SYN waits for its block to fill or time
 *    out, and nearly all come after their accept;
 *  - a snapshot of 192 bytes: room for the longest headers, and 30,000 frames
 *    in 8 MB; with the default length there are 128, and floods drop a third;
 *  - `any` as SLL2: survives interfaces that come and go.
 * The filter looks at IPv6 by offsets: tcp[] matches no IPv6 at all, and
 * `protochain` is refused by the kernel. Packets with IPv6 extension headers
 * all come through and are sorted out here.
 */
#include "proxy/sidecar/capture.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "proxy/sidecar/link.h"
#include "proxy/sidecar/say.h"
#include "tarry/syn.h"

#define SNAPLEN 192
#define BUFFER_BYTES (8 * 1024 * 1024)
#define TIMEOUT_MS 100 /* of no effect in immediate mode */
#define FILTER_CAP 2048
#define FUTURE_NS SYN_TABLE_SECOND_NS

struct capture {
	pcap_t *pcap;
	struct syn_table *table;
	int datalink;
	bool is_file;
	uint64_t last_ns; /* of a file: its last packet's time */
	uint32_t dropped; /* pcap's count as seen last; it wraps */
	/* Of this batch: one moment on both clocks. */
	uint64_t monotonic_ns;
	uint64_t wall_ns;
	uint16_t ports[SYN_TABLE_PORTS_CAP];
	char name[128];
};

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t); /* cannot fail for these clocks */
	return (uint64_t)t.tv_sec * SYN_TABLE_SECOND_NS + (uint64_t)t.tv_nsec;
}

/* Appends `TERM or TERM ..`, a term for each port. */
static void
add_ports(char *filter, size_t cap, const char *term, const uint16_t *ports)
{
	size_t len = strlen(filter);

	for (size_t i = 0; i < SYN_TABLE_PORTS_CAP && ports[i] != 0; i++) {
		snprintf(filter + len, cap - len, "%s%s%u", i > 0 ? " or " : "",
			 term, (unsigned int)ports[i]);
		len = strlen(filter);
	}
}

static void
add(char *filter, size_t cap, const char *text)
{
	size_t len = strlen(filter);

	snprintf(filter + len, cap - len, "%s", text);
}

static void
make_filter(char *filter, size_t cap, const uint16_t *ports)
{
	filter[0] = '\0';
	add(filter, cap, "(ip and (");
	add_ports(filter, cap, "tcp dst port ", ports);
	add(filter, cap,
	    ") and tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn)"
	    " or (ip6 and ((ip6[6] = 6 and (");
	add_ports(filter, cap, "ip6[42:2] = ", ports);
	add(filter, cap,
	    ") and ip6[53] & 0x12 = 2) or ip6[6] = 0 or ip6[6] = 43"
	    " or ip6[6] = 44 or ip6[6] = 51 or ip6[6] = 60"
	    " or ip6[6] = 135))");
}

static bool
is_watched(const struct capture *c, uint16_t port)
{
	for (size_t i = 0; i < SYN_TABLE_PORTS_CAP && c->ports[i] != 0; i++) {
		if (c->ports[i] == port)
			return true;
	}
	return false;
}

/*
 * A packet's wall time on the monotonic clock. A wall clock that was set back
 * in between would put it into the future: then it is now.
 */
static uint64_t
captured_ns(const struct capture *c, const struct timeval *ts)
{
	/* With nanosecond precision tv_usec holds nanoseconds. */
	uint64_t wall_ns =
	    (uint64_t)ts->tv_sec * SYN_TABLE_SECOND_NS + (uint64_t)ts->tv_usec;
	uint64_t age_ns = c->wall_ns - wall_ns;

	if (wall_ns > c->wall_ns)
		return wall_ns - c->wall_ns < FUTURE_NS
			   ? c->monotonic_ns + (wall_ns - c->wall_ns)
			   : c->monotonic_ns;
	return age_ns < c->monotonic_ns ? c->monotonic_ns - age_ns : 1;
}

/* Not a SYN at all, which the filter lets through behind IPv6 extensions. */
static bool
is_not_asked_for(int malformed)
{
	return malformed == SYN_BAD_NOT_SYN || malformed == SYN_BAD_NOT_TCP ||
	       malformed == SYN_BAD_FRAGMENT;
}

static void
on_packet(u_char *arg, const struct pcap_pkthdr *header, const u_char *frame)
{
	struct capture *c = (void *)arg;
	int at = link_ip(c->datalink, frame, header->caplen);
	struct syn syn;
	int used;

	syn_table_count(c->table, SYN_TABLE_RECEIVED, 1);
	if (at < 0) {
		syn_table_count(c->table, SYN_TABLE_FOREIGN, 1);
		return;
	}
	used = syn_parse(&syn, frame + at, header->caplen - (size_t)at);
	if (used <= 0)
		syn_table_count(c->table,
				is_not_asked_for(used) ? SYN_TABLE_FOREIGN
						       : SYN_TABLE_MALFORMED,
				1);
	else if (!is_watched(c, syn.dst.port))
		syn_table_count(c->table, SYN_TABLE_FOREIGN, 1);
	else
		(void)syn_table_put(c->table, &syn, frame + at, (size_t)used,
				    captured_ns(c, &header->ts));
}

static void
say_activation(int error, const char *interface, pcap_t *pcap)
{
	const char *text = pcap_geterr(pcap);

	if (error == PCAP_ERROR_PERM_DENIED)
		sidecar_say("cannot capture on %s: not permitted. It takes "
			    "CAP_NET_RAW: start as root, or give it in the "
			    "unit (AmbientCapabilities=CAP_NET_RAW), or once "
			    "for the file (`setcap cap_net_raw=ep "
			    "tarry-sidecar`)",
			    interface);
	else if (error == PCAP_ERROR_NO_SUCH_DEVICE)
		sidecar_say("cannot capture on %s: no such interface; `ip "
			    "link` lists them, `-i any` takes all",
			    interface);
	else if (error == PCAP_ERROR_IFACE_NOT_UP)
		sidecar_say("cannot capture on %s: it is down; `ip link set "
			    "%s up`, or `-i any`",
			    interface, interface);
	else
		sidecar_say("cannot capture on %s: %s%s%s", interface,
			    pcap_statustostr(error), *text != '\0' ? ": " : "",
			    text);
}

static int
said_pcap(pcap_t *pcap, const char *doing, const char *what)
{
	sidecar_say("cannot capture on %s: %s: %s", what, doing,
		    pcap_geterr(pcap));
	return -EIO;
}

/* What must be set before activation; none of it fails for a fresh handle. */
static void
set_up(pcap_t *pcap)
{
	(void)pcap_set_snaplen(pcap, SNAPLEN);
	(void)pcap_set_promisc(pcap, 0);
	(void)pcap_set_immediate_mode(pcap, 1);
	(void)pcap_set_buffer_size(pcap, BUFFER_BYTES);
	(void)pcap_set_timeout(pcap, TIMEOUT_MS);
	(void)pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO);
}

static int
set_filter(struct capture *c, const char *interface)
{
	struct bpf_program program;
	char filter[FILTER_CAP];
	const int yes = 1;
	int error;

	make_filter(filter, sizeof(filter), c->ports);
	if (pcap_compile(c->pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) !=
	    0)
		return said_pcap(c->pcap, "filter", interface);
	error = pcap_setfilter(c->pcap, &program);
	pcap_freecode(&program);
	if (error != 0)
		return said_pcap(c->pcap, "filter", interface);
	/* Nobody can widen it any more, not even we. */
	(void)setsockopt(pcap_fileno(c->pcap), SOL_SOCKET, SO_LOCK_FILTER, &yes,
			 sizeof(yes));
	return 0;
}

static int
know_link(struct capture *c, const char *what)
{
	const char *name;

	c->datalink = pcap_datalink(c->pcap);
	name = pcap_datalink_val_to_name(c->datalink);
	snprintf(c->name, sizeof(c->name), "%s (%s)", what,
		 name != NULL ? name : "?");
	if (link_is_known(c->datalink))
		return 0;
	sidecar_say("cannot capture on %s: link layer %s is not supported; "
		    "try `-i any`",
		    what, name != NULL ? name : "without a name");
	return -EPROTONOSUPPORT;
}

/*
 * What we would drop anyway need not be copied first: every packet that the
 * machine sends pays for that. An older kernel cannot, and does.
 */
static void
ignore_outgoing(pcap_t *pcap)
{
	static const int on = 1;

	(void)setsockopt(pcap_fileno(pcap), SOL_PACKET, PACKET_IGNORE_OUTGOING,
			 &on, sizeof(on));
}

static int
open_live(struct capture *c, const char *interface)
{
	char text[PCAP_ERRBUF_SIZE];
	int error;

	c->pcap = pcap_create(interface, text);
	if (c->pcap == NULL) {
		sidecar_say("cannot capture on %s: %s", interface, text);
		return -ENOMEM;
	}
	set_up(c->pcap);
	error = pcap_activate(c->pcap);
	if (error < 0) {
		say_activation(error, interface, c->pcap);
		return error == PCAP_ERROR_PERM_DENIED ? -EPERM : -ENODEV;
	}
	/* Before the filter is compiled: it depends on the link layer. */
	if (strcmp(interface, "any") == 0 &&
	    pcap_set_datalink(c->pcap, DLT_LINUX_SLL2) != 0)
		return said_pcap(c->pcap, "link layer", interface);
	if (pcap_get_tstamp_precision(c->pcap) != PCAP_TSTAMP_PRECISION_NANO)
		return said_pcap(c->pcap, "no nanoseconds", interface);
	error = know_link(c, interface);
	if (error == 0)
		error = set_filter(c, interface);
	if (error != 0)
		return error;
	if (pcap_setdirection(c->pcap, PCAP_D_IN) != 0)
		return said_pcap(c->pcap, "direction", interface);
	if (pcap_setnonblock(c->pcap, 1, text) != 0)
		return said_pcap(c->pcap, "non-blocking", interface);
	ignore_outgoing(c->pcap);
	return 0;
}

static void
on_last_time(u_char *arg, const struct pcap_pkthdr *header, const u_char *frame)
{
	struct capture *c = (void *)arg;
	uint64_t ns = (uint64_t)header->ts.tv_sec * SYN_TABLE_SECOND_NS +
		      (uint64_t)header->ts.tv_usec;

	(void)frame;
	if (ns > c->last_ns)
		c->last_ns = ns;
}

static int
open_pcap_file(struct capture *c, const char *path)
{
	char text[PCAP_ERRBUF_SIZE];

	c->pcap = pcap_open_offline_with_tstamp_precision(
	    path, PCAP_TSTAMP_PRECISION_NANO, text);
	if (c->pcap != NULL)
		return 0;
	/* pcap names the file in some of its messages and not in others. */
	sidecar_say("cannot read the capture file %s: %s", path, text);
	return -EINVAL;
}

static int
open_file(struct capture *c, const char *path)
{
	int error = open_pcap_file(c, path);

	c->is_file = true;
	if (error == 0)
		error = know_link(c, path);
	if (error != 0)
		return error;
	(void)pcap_loop(c->pcap, -1, on_last_time, (void *)c);
	pcap_close(c->pcap);
	return open_pcap_file(c, path);
}

static int
open_either(struct capture **out, const char *what,
	    const uint16_t ports[SYN_TABLE_PORTS_CAP],
	    int (*open)(struct capture *c, const char *what))
{
	struct capture *c = calloc(1, sizeof(*c));
	int error;

	*out = NULL;
	if (c == NULL)
		return -ENOMEM;
	memcpy(c->ports, ports, sizeof(c->ports));
	error = open(c, what);
	if (error != 0) {
		capture_close(c);
		return error;
	}
	*out = c;
	return 0;
}

int
capture_open(struct capture **out, const char *interface,
	     const uint16_t ports[SYN_TABLE_PORTS_CAP])
{
	return open_either(out, interface, ports, open_live);
}

int
capture_open_file(struct capture **out, const char *path,
		  const uint16_t ports[SYN_TABLE_PORTS_CAP])
{
	return open_either(out, path, ports, open_file);
}

void
capture_close(struct capture *capture)
{
	if (capture == NULL)
		return;
	if (capture->pcap != NULL)
		pcap_close(capture->pcap);
	free(capture);
}

void
capture_set_table(struct capture *capture, struct syn_table *table)
{
	capture->table = table;
}

int
capture_fd(const struct capture *capture)
{
	return pcap_get_selectable_fd(capture->pcap);
}

const char *
capture_name(const struct capture *capture)
{
	return capture->name;
}

int
capture_run(struct capture *capture)
{
	int count;

	/* In this order a packet may look older than it is, never younger. */
	capture->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
	capture->wall_ns =
	    capture->is_file ? capture->last_ns : clock_ns(CLOCK_REALTIME);
	count =
	    pcap_dispatch(capture->pcap, capture->is_file ? -1 : CAPTURE_BATCH,
			  on_packet, (void *)capture);
	if (count >= 0)
		return count;
	sidecar_say("the capture on %s ended: %s", capture->name,
		    pcap_geterr(capture->pcap));
	return -EIO;
}

bool
capture_is_gone(const struct capture *capture)
{
	struct sockaddr_ll at = {0};
	socklen_t len = sizeof(at);

	/* 0: bound to no interface. The kernel makes it -1. */
	if (capture->is_file ||
	    getsockname(pcap_fileno(capture->pcap), (struct sockaddr *)&at,
			&len) != 0 ||
	    at.sll_ifindex >= 0)
		return false;
	sidecar_say("the capture on %s ended: the interface was deleted; "
		    "start again when it is back",
		    capture->name);
	return true;
}

void
capture_count_dropped(struct capture *capture)
{
	struct pcap_stat stat;

	if (capture->is_file || pcap_stats(capture->pcap, &stat) != 0)
		return;
	syn_table_count(capture->table, SYN_TABLE_DROPPED,
			(uint32_t)(stat.ps_drop - capture->dropped));
	capture->dropped = stat.ps_drop;
}
