/*
 * The poller with real sockets: an event is told once, what is closed is never
 * told again, and libuv's timers go on beside it.
 */
#include "proxy/relay/poller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

struct end {
	struct sock sock; /* first: the poller gives it back */
	int peer;
	unsigned ready;
	unsigned closed;
	uint32_t events;
	void (*on_ready)(struct end *e);
};

static struct {
	uv_loop_t loop;
	uv_timer_t deadline;
	uv_timer_t timer;
	struct poller poller;
	struct end ends[3];
	unsigned turns;
	unsigned turns_wanted;
	unsigned timers;
	bool (*is_done)(void);
	bool is_late;
} rig;

static void
ready(struct sock *s, uint32_t events)
{
	struct end *e = (struct end *)s;

	e->ready++;
	e->events |= events;
	if (e->on_ready != NULL)
		e->on_ready(e);
}

static void
closed(struct sock *s)
{
	((struct end *)s)->closed++;
	poller_again(&rig.poller, s); /* nobody comes back to it */
}

static void
finish(void)
{
	size_t i;

	if (uv_is_closing((uv_handle_t *)&rig.deadline))
		return;
	uv_close((uv_handle_t *)&rig.deadline, NULL);
	uv_close((uv_handle_t *)&rig.timer, NULL);
	for (i = 0; i < 3; i++)
		if (rig.ends[i].sock.fd >= 0)
			poller_remove(&rig.poller, &rig.ends[i].sock);
}

static void
turn(struct poller *p)
{
	rig.turns++;
	if (rig.turns < rig.turns_wanted)
		poller_want_turn(p);
	if (rig.is_done())
		finish();
}

static void
on_deadline(uv_timer_t *timer)
{
	(void)timer;
	rig.is_late = true;
	finish();
}

static void
on_timer(uv_timer_t *timer)
{
	(void)timer;
	rig.timers++;
}

static const struct poller_calls calls = {
    .ready = {ready, ready, ready},
    .closed = {closed, closed, closed},
    .turn = turn,
};

static void
open_end(struct end *e)
{
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	sock_init(&e->sock, SOCK_MTA);
	e->peer = pair[1];
	assert_int_equal(poller_add(&rig.poller, &e->sock, pair[0]), 0);
}

static int
set_up(void **state)
{
	size_t i;

	(void)state;
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(uv_loop_init(&rig.loop), 0);
	(void)uv_timer_init(&rig.loop, &rig.deadline);
	(void)uv_timer_init(&rig.loop, &rig.timer);
	(void)uv_timer_start(&rig.deadline, on_deadline, DEADLINE_MS, 0);
	assert_int_equal(poller_open(&rig.poller, &rig.loop, &calls), 0);
	for (i = 0; i < 3; i++)
		open_end(&rig.ends[i]);
	return 0;
}

static int
tear_down(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		(void)close(rig.ends[i].peer);
	poller_close(&rig.poller);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
	return 0;
}

static void
run(bool (*is_done)(void))
{
	size_t i;

	rig.is_done = is_done;
	/* So that is_done() is asked again. */
	if (!uv_is_active((uv_handle_t *)&rig.timer))
		(void)uv_timer_start(&rig.timer, on_timer, 1, 1);
	poller_run(&rig.poller);
	assert_false(rig.is_late);
	for (i = 0; i < 3; i++)
		assert_int_equal(rig.ends[i].closed, 1);
}

static bool
were_turns(void)
{
	return rig.turns >= 20;
}

/* Bytes that nobody reads are told once, however often it waits. */
static void
tells_once(void **state)
{
	(void)state;
	rig.turns_wanted = 20;
	assert_int_equal(write(rig.ends[0].peer, "ab", 2), 2);
	run(were_turns);
	assert_int_equal(rig.ends[0].ready, 1);
	assert_true((rig.ends[0].events & EPOLLIN) != 0);
	assert_true(rig.ends[0].sock.may_read);
	assert_false(rig.ends[0].sock.is_over);
	/* The others are writable, and that is told once too. */
	assert_int_equal(rig.ends[1].ready, 1);
	assert_false(rig.ends[1].sock.may_read);
}

static void
read_one(struct end *e)
{
	char byte;

	if (read(e->sock.fd, &byte, 1) == 1)
		poller_again(&rig.poller, &e->sock);
	else
		e->sock.may_read = false;
}

static bool
is_empty(void)
{
	return rig.ends[0].ready > 0 && !rig.ends[0].sock.may_read;
}

static void
comes_back_for_the_rest(void **state)
{
	static const char bytes[400];

	(void)state;
	rig.ends[0].on_ready = read_one;
	assert_int_equal(write(rig.ends[0].peer, bytes, sizeof(bytes)),
			 sizeof(bytes));
	run(is_empty);
	assert_int_equal(rig.ends[0].ready, sizeof(bytes) + 1);
	/* And at once, not at the next waking. */
	assert_true(rig.timers < sizeof(bytes) / 2);
}

static bool
is_over(void)
{
	return rig.ends[2].sock.is_over;
}

static void
tells_the_end(void **state)
{
	(void)state;
	assert_int_equal(shutdown(rig.ends[2].peer, SHUT_WR), 0);
	run(is_over);
	assert_true(rig.ends[2].sock.may_read);
	assert_true((rig.ends[2].events & EPOLLRDHUP) != 0);
	assert_false(rig.ends[1].sock.is_over);
}

/* Whoever is told first closes the two others. */
static void
remove_others(struct end *e)
{
	size_t i;

	for (i = 0; i < 3; i++)
		if (&rig.ends[i] != e)
			poller_remove(&rig.poller, &rig.ends[i].sock);
}

static bool
is_one_left(void)
{
	return rig.ends[0].closed + rig.ends[1].closed + rig.ends[2].closed ==
	       2;
}

static void
what_is_removed_is_not_told(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		rig.ends[i].on_ready = remove_others;
	run(is_one_left);
	assert_int_equal(
	    rig.ends[0].ready + rig.ends[1].ready + rig.ends[2].ready, 1);
}

/* Whoever is told first is told again; the others begin anew. */
static void
renew_others(struct end *e)
{
	size_t i;

	e->on_ready = NULL;
	for (i = 0; i < 3; i++) {
		rig.ends[i].on_ready = NULL;
		if (&rig.ends[i] == e)
			continue;
		poller_renew(&rig.poller, &rig.ends[i].sock);
		assert_int_equal(write(rig.ends[i].peer, "b", 1), 1);
	}
}

static bool
are_two_heard(void)
{
	unsigned heard = 0;
	size_t i;

	for (i = 0; i < 3; i++)
		heard += (rig.ends[i].events & EPOLLIN) != 0;
	return heard == 2;
}

/* What was heard is void, what comes from then on is told. */
static void
what_is_renewed_begins_anew(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		rig.ends[i].on_ready = renew_others;
		rig.ends[i].sock.is_over = true;
	}
	run(are_two_heard);
	for (i = 0; i < 3; i++) {
		assert_int_equal(rig.ends[i].ready, 1);
		if ((rig.ends[i].events & EPOLLIN) == 0)
			continue;
		assert_true(rig.ends[i].sock.may_read);
		assert_false(rig.ends[i].sock.is_over);
	}
}

static void
again_then_remove(struct end *e)
{
	poller_again(&rig.poller, &e->sock);
	poller_again(&rig.poller, &e->sock);
	poller_remove(&rig.poller, &e->sock);
	poller_remove(&rig.poller, &e->sock);
	poller_again(&rig.poller, &e->sock);
}

static bool
is_first_closed(void)
{
	return rig.ends[0].closed > 0;
}

static void
closed_comes_once(void **state)
{
	(void)state;
	rig.ends[0].on_ready = again_then_remove;
	run(is_first_closed);
	assert_int_equal(rig.ends[0].ready, 1);
}

/* Fills the socket; what makes it writable again is that its peer reads. */
static void
fill(struct end *e)
{
	static char bytes[65536];

	e->on_ready = NULL;
	while (write(e->sock.fd, bytes, sizeof(bytes)) > 0)
		;
	while (read(e->peer, bytes, sizeof(bytes)) > 0)
		;
}

static bool
is_writable_again(void)
{
	return rig.ends[1].ready >= 2;
}

static void
tells_room(void **state)
{
	(void)state;
	rig.ends[1].on_ready = fill;
	run(is_writable_again);
	assert_true((rig.ends[1].events & EPOLLOUT) != 0);
}

static bool
were_timers(void)
{
	return rig.timers >= 3;
}

static void
timers_go_on(void **state)
{
	uint64_t began_ms = uv_hrtime() / 1000000;

	(void)state;
	(void)uv_timer_start(&rig.timer, on_timer, 5, 5);
	run(were_timers);
	assert_true(uv_hrtime() / 1000000 - began_ms >= 14);
	/* It waits: it does not spin. */
	assert_true(rig.turns < 100);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    FRESH(tells_once),	      FRESH(comes_back_for_the_rest),
	    FRESH(tells_the_end),     FRESH(what_is_removed_is_not_told),
	    FRESH(closed_comes_once), FRESH(tells_room),
	    FRESH(timers_go_on),      FRESH(what_is_renewed_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
