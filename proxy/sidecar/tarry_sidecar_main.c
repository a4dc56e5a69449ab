/*
 * tarry-sidecar: copies each SYN's header bytes into a shared table, and does
 * nothing else. What the bytes mean is for tarryd to say.
 *
 * Order at the start: what takes privileges, then giving them up, then all
 * the rest. The one way out is stop().
 */
#include <errno.h>
#include <string.h>
#include <uv.h>

#include "proxy/sidecar/capture.h"
#include "proxy/sidecar/drop.h"
#include "proxy/sidecar/options.h"
#include "proxy/sidecar/say.h"
#include "proxy/sidecar/share.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2
/* Lost SYNs are said at most so often. */
#define SAY_DROPPED_BEATS (60 * 1000 / SYN_TABLE_HEARTBEAT_MS)
/*
 * SYNs that come closer together than this are read in batches so far apart:
 * being woken for each costs the machine more than reading them, and a proxy
 * that looked too early looks again.
 */
#define REST_MS 2

struct sidecar {
	uv_loop_t loop;
	uv_poll_t poll; /* of the capture */
	uv_timer_t beat;
	uv_timer_t rest; /* between two batches */
	uv_signal_t signals[2];
	struct capture *capture;
	struct share share;
	uint64_t said_dropped;
	uint64_t read_ms; /* when packets were read last */
	unsigned int beats_to_silence;
	bool is_file;
	bool is_stopping;
	bool is_blind; /* the interface is down */
	int exit_code;
};

static void
close_handle(uv_handle_t *handle)
{
	if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void
stop(struct sidecar *s, int exit_code)
{
	if (s->is_stopping)
		return;
	s->is_stopping = true;
	s->exit_code = exit_code;
	close_handle((uv_handle_t *)&s->poll);
	close_handle((uv_handle_t *)&s->beat);
	close_handle((uv_handle_t *)&s->rest);
	for (size_t i = 0; i < 2; i++)
		close_handle((uv_handle_t *)&s->signals[i]);
	share_close(&s->share);
}

static void
on_signal(uv_signal_t *signal, int number)
{
	struct sidecar *s = signal->data;
	const struct syn_table *t = s->share.table;

	sidecar_say(
	    "signal %d: ending. %llu packets, %llu SYNs stored, %llu sent "
	    "again, %llu malformed, %llu dropped",
	    number,
	    (unsigned long long)syn_table_counter(t, SYN_TABLE_RECEIVED),
	    (unsigned long long)syn_table_counter(t, SYN_TABLE_INSERTED),
	    (unsigned long long)syn_table_counter(t, SYN_TABLE_RETRANSMITTED),
	    (unsigned long long)syn_table_counter(t, SYN_TABLE_MALFORMED),
	    (unsigned long long)syn_table_counter(t, SYN_TABLE_DROPPED));
	stop(s, 0);
}

static void
say_dropped(struct sidecar *s)
{
	uint64_t dropped = syn_table_counter(s->share.table, SYN_TABLE_DROPPED);

	if (s->beats_to_silence > 0) {
		s->beats_to_silence--;
		return;
	}
	if (dropped == s->said_dropped)
		return;
	sidecar_say("%llu SYNs lost: they came while this process could not "
		    "run for long; give it more CPU weight (see "
		    "tarry-sidecar(8))",
		    (unsigned long long)(dropped - s->said_dropped));
	s->said_dropped = dropped;
	s->beats_to_silence = SAY_DROPPED_BEATS;
}

static void
on_beat(uv_timer_t *timer)
{
	struct sidecar *s = timer->data;

	syn_table_beat(s->share.table, uv_hrtime());
	capture_count_dropped(s->capture);
	say_dropped(s);
	if (capture_is_gone(s->capture))
		stop(s, EXIT_FAILED);
}

static void on_packets(uv_poll_t *poll, int status, int events);

static void
watch(struct sidecar *s)
{
	int error = uv_poll_start(&s->poll, UV_READABLE, on_packets);

	if (error == 0)
		return;
	sidecar_say("cannot wait for packets: %s", uv_strerror(error));
	stop(s, EXIT_FAILED);
}

/* Reads; true if it can go on: the packets that came, and when. */
static bool
read_packets(struct sidecar *s, int *count)
{
	*count = capture_run(s->capture);
	if (*count < 0)
		stop(s, EXIT_FAILED);
	else if (*count > 0)
		s->read_ms = uv_now(&s->loop);
	return *count >= 0;
}

static void
on_rest_over(uv_timer_t *timer)
{
	struct sidecar *s = timer->data;
	int count;

	if (!read_packets(s, &count))
		return;
	if (count == 0)
		watch(s);
	else
		(void)uv_timer_start(timer, on_rest_over,
				     count < CAPTURE_BATCH ? REST_MS : 0, 0);
}

/*
 * An interface that goes down raises EPOLLERR once; libuv reports it and
 * stops the poll for good, unless it is started again. pcap takes the error
 * off the socket, and says whether the interface is still there.
 */
static void
on_packets(uv_poll_t *poll, int status, int events)
{
	struct sidecar *s = poll->data;
	uint64_t since_ms = uv_now(&s->loop) - s->read_ms;
	int count;

	(void)events;
	if (!read_packets(s, &count))
		return;
	if (status < 0) {
		if (!s->is_blind)
			sidecar_say("%s went down; capturing goes on when it "
				    "is up again",
				    capture_name(s->capture));
		s->is_blind = true;
		watch(s);
		return;
	}
	if (s->is_blind)
		sidecar_say("%s: packets again", capture_name(s->capture));
	s->is_blind = false;
	if (since_ms > REST_MS)
		return;
	(void)uv_poll_stop(poll);
	(void)uv_timer_start(&s->rest, on_rest_over, REST_MS, 0);
}

static int
start_signal(struct sidecar *s, uv_signal_t *signal, int number)
{
	int error = uv_signal_init(&s->loop, signal);

	signal->data = s;
	return error != 0 ? error : uv_signal_start(signal, on_signal, number);
}

static int
start_handles(struct sidecar *s)
{
	int error = start_signal(s, &s->signals[0], SIGTERM);

	if (error == 0)
		error = start_signal(s, &s->signals[1], SIGINT);
	if (error == 0)
		error = uv_timer_init(&s->loop, &s->beat);
	s->beat.data = s;
	if (error == 0)
		error = uv_timer_init(&s->loop, &s->rest);
	s->rest.data = s;
	if (error == 0)
		error = uv_timer_start(&s->beat, on_beat, 0,
				       SYN_TABLE_HEARTBEAT_MS);
	if (error == 0 && !s->is_file)
		error =
		    uv_poll_init(&s->loop, &s->poll, capture_fd(s->capture));
	s->poll.data = s;
	if (error != 0)
		sidecar_say("cannot start: %s", uv_strerror(error));
	else if (!s->is_file)
		watch(s);
	return error;
}

/* A file is read at once; what could be read of a broken one is served. */
static void
read_file(struct sidecar *s)
{
	if (s->is_file && capture_run(s->capture) < 0)
		sidecar_say("serving what could be read of it");
}

static void
say_start(const struct sidecar *s, const struct sidecar_options *options,
	  const struct drop_user *user)
{
	char ports[6 * SYN_TABLE_PORTS_CAP + 1] = "";
	size_t len = 0;

	for (size_t i = 0; i < SYN_TABLE_PORTS_CAP && options->ports[i] != 0;
	     i++)
		len += (size_t)snprintf(ports + len, sizeof(ports) - len,
					"%s%u", i > 0 ? "," : "",
					(unsigned int)options->ports[i]);
	sidecar_say("SYNs to port %s on %s, serving %s; user %s, no "
		    "capabilities, no new privileges; %u entries, %zu KiB",
		    ports, capture_name(s->capture), options->socket,
		    user->name, s->share.table->sets_count * SYN_TABLE_WAYS,
		    s->share.bytes / 1024);
}

static int
open_capture(struct sidecar *s, const struct sidecar_options *options)
{
	s->is_file = options->file != NULL;
	if (s->is_file)
		return capture_open_file(&s->capture, options->file,
					 options->ports);
	return capture_open(&s->capture, options->interface, options->ports);
}

/* Runs until stop(); everything that was opened is closed here. */
static int
run(struct sidecar *s, const struct sidecar_options *options,
    const struct drop_user *user)
{
	int error =
	    share_make(&s->share, options->entries_count, options->ports);

	if (error != 0)
		return EXIT_FAILED;
	capture_set_table(s->capture, s->share.table);
	read_file(s);
	error = share_listen(&s->share, &s->loop, options->socket);
	if (error == 0)
		error = start_handles(s);
	if (error == 0)
		say_start(s, options, user);
	else
		stop(s, EXIT_FAILED);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT);
	share_free(&s->share);
	return s->exit_code;
}

int
main(int argc, char **argv)
{
	static struct sidecar s;
	struct sidecar_options options;
	struct drop_user user;
	int exit_code = EXIT_FAILED;

	switch (sidecar_options_read(&options, argc, argv)) {
	case SIDECAR_OPTIONS_DONE:
		return 0;
	case SIDECAR_OPTIONS_WRONG:
		return EXIT_USAGE;
	case SIDECAR_OPTIONS_RUN:
		break;
	}
	if (drop_find_user(&user, options.user, SIDECAR_USER) != 0 ||
	    open_capture(&s, &options) != 0)
		return EXIT_FAILED;
	if (user.is_change)
		socket_file_make_directory(options.socket, user.uid, user.gid);
	if (drop_all(&user) == 0 && uv_loop_init(&s.loop) == 0) {
		exit_code = run(&s, &options, &user);
		(void)uv_loop_close(&s.loop);
	}
	capture_close(s.capture);
	return exit_code;
}
