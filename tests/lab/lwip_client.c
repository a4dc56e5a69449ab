/*
 * lwip_client TAP OWN TO PORT: one SMTP session by lwIP, a TCP/IP stack of its
 * own that lives in this process, over a tap device. OWN and TO are IPv4 or
 * IPv6 addresses of one network. Prints the port that it used.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <lwip/api.h>
#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/netif.h>
#include <lwip/tcpip.h>

#define FRAME_CAP 1600

static struct netif tap;
static int tap_fd = -1;

static int
die(const char *what)
{
	fprintf(stderr, "lwip_client: %s\n", what);
	exit(1);
}

static err_t
send_frame(struct netif *netif, struct pbuf *p)
{
	char frame[FRAME_CAP];
	u16_t len = pbuf_copy_partial(p, frame, sizeof(frame), 0);

	(void)netif;
	return write(tap_fd, frame, len) == len ? ERR_OK : ERR_IF;
}

static err_t
init_tap(struct netif *netif)
{
	static const u8_t mac[6] = {2, 0, 0, 0, 0xee, 2};

	memcpy(netif->hwaddr, mac, sizeof(mac));
	netif->hwaddr_len = sizeof(mac);
	netif->mtu = 1500;
	netif->name[0] = 't';
	netif->name[1] = 'p';
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
		       NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6 |
		       NETIF_FLAG_LINK_UP;
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = send_frame;
	return ERR_OK;
}

static void *
read_frames(void *arg)
{
	char frame[FRAME_CAP];
	ssize_t len;

	while ((len = read(tap_fd, frame, sizeof(frame))) > 0) {
		struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_POOL);

		if (p == NULL)
			continue;
		pbuf_take(p, frame, (u16_t)len);
		if (tap.input(p, &tap) != ERR_OK)
			pbuf_free(p);
	}
	return arg;
}

static void
open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	tap_fd = open("/dev/net/tun", O_RDWR);
	if (tap_fd < 0 || ioctl(tap_fd, TUNSETIFF, &request) != 0)
		die("no tap device");
}

static void
start_stack(const ip_addr_t *own)
{
	ip4_addr_t mask, none;
	pthread_t reader;

	IP4_ADDR(&mask, 255, 255, 255, 0);
	ip4_addr_set_zero(&none);
	tcpip_init(NULL, NULL);
	LOCK_TCPIP_CORE();
	netif_add(&tap, IP_IS_V6(own) ? &none : ip_2_ip4(own), &mask, &none,
		  NULL, init_tap, tcpip_input);
	netif_set_default(&tap);
	netif_set_up(&tap);
	if (IP_IS_V6(own)) {
		netif_ip6_addr_set(&tap, 1, ip_2_ip6(own));
		netif_ip6_addr_set_state(&tap, 1, IP6_ADDR_PREFERRED);
	}
	UNLOCK_TCPIP_CORE();
	if (pthread_create(&reader, NULL, read_frames, NULL) != 0)
		die("no thread");
}

/* Reads one line; sessions here have no longer replies. */
static void
read_line(struct netconn *conn)
{
	struct netbuf *got;
	void *bytes;
	u16_t len;

	do {
		if (netconn_recv(conn, &got) != ERR_OK)
			die("closed too early");
		netbuf_data(got, &bytes, &len);
		fwrite(bytes, 1, len, stdout);
		len = len > 0 && ((char *)bytes)[len - 1] == '\n';
		netbuf_delete(got);
	} while (len == 0);
}

int
main(int argc, char **argv)
{
	ip_addr_t own, to, local;
	struct netconn *conn;
	u16_t port;

	if (argc != 5 || !ipaddr_aton(argv[2], &own) ||
	    !ipaddr_aton(argv[3], &to))
		return die("usage: lwip_client TAP OWN TO PORT");
	/* lwIP takes its ports from rand(): a new one at each run. */
	srand((unsigned)getpid());
	open_tap(argv[1]);
	start_stack(&own);
	conn = netconn_new(IP_IS_V6(&to) ? NETCONN_TCP_IPV6 : NETCONN_TCP);
	if (conn == NULL ||
	    netconn_connect(conn, &to, (u16_t)atoi(argv[4])) != ERR_OK)
		return die("cannot connect");
	netconn_getaddr(conn, &local, &port, 1);
	read_line(conn);
	netconn_write(conn, "QUIT\r\n", 6, NETCONN_COPY);
	read_line(conn);
	netconn_close(conn);
	printf("port %u\n", port);
	return 0;
}
