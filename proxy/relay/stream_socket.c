/*
 * A stream's socket: reading it, how large the kernel's buffer is, and
 * whether the peer is still there while nothing is read.
 */
#include "proxy/relay/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "proxy/relay/worker_state.h"

/*
 * The kernel doubles what is asked for, and keeps about 6.8 KB for 4 KiB on
 * a path with an MTU of 1500. Less is too little: where the MTU is large (on
 * loopback 65536) a segment does not fit the window any more, and each one
 * waits for the sender's timer.
 */
#define WINDOW_SMALL 4096
/* The kernel takes what net.core.rmem_max allows. */
#define WINDOW_FULL (1 << 30)
/* <asm-generic/socket.h> since Linux 5.14; older ones refuse it. */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* The kernel's TCP states, as TCP_INFO shows them. */
#define STATE_CLOSE 7
#define STATE_CLOSE_WAIT 8

ssize_t
stream_recv(struct sock *from, void *at, size_t room)
{
	ssize_t n;

	do
		n = recv(from->fd, at, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	/* Less than there was room for: no more will come without an event. */
	if (n == -EAGAIN || (n > 0 && (size_t)n < room && !from->is_over))
		from->may_read = false;
	return n;
}

/*
 * Setting it by hand ends the kernel's own sizing; giving the lock back lets
 * that go on from the size set last.
 */
void
stream_set_window(struct conn *c, enum receive_buffer size)
{
	int bytes = size == RECEIVE_SMALL ? WINDOW_SMALL : WINDOW_FULL;
	int no_lock = 0;
	int fd = c->sock.fd;

	/* If it fails the upload is only paced, or only slower. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (size == RECEIVE_FULL)
		(void)setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &no_lock,
				 sizeof(no_lock));
}

void
stream_check(struct conn *c, enum side side)
{
	struct stream *st = &c->streams[side];
	const struct sock *from = conn_sock(c, side);
	const struct tls *t = tls_of(c, side);
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int unread = 0;

	if (from == NULL)
		return;
	if (getsockopt(from->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return;
	if (info.tcpi_state != STATE_CLOSE &&
	    info.tcpi_state != STATE_CLOSE_WAIT)
		return;
	if (side == SIDE_CLIENT && info.tcpi_state == STATE_CLOSE) {
		st->has_ended = true;
		conn_event(c, EVENT_ERROR, side);
		return;
	}
	if (t != NULL && tls_has_unread(t))
		return;
	/* The MTA's last words are read before its end is told. */
	if (st->has_ended || ioctl(from->fd, FIONREAD, &unread) != 0 ||
	    unread > 0)
		return;
	st->has_ended = true;
	conn_event(c, info.tcpi_state == STATE_CLOSE ? EVENT_ERROR : EVENT_FIN,
		   side);
}
