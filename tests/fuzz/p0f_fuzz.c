/*
 * Bytes as what programs say on p0f's socket: four of them at a time, cut
 * anywhere, who read late, hang up in between, and are answered late.
 *
 * What must hold: each whole question of a program is answered, once, in
 * order and with what is known of that client; the first that is none ends
 * it, with one answer that says so; and of an answer no byte is what another
 * one left behind. The socket is a real one.
 */
#include "proxy/admin/p0f_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define PROGRAMS 4
#define SAID_CAP 4096
#define TURNS 16 /* enough for all that is there: one comes in a turn */
/* Where p0f has them in its answer (p0f 3.09b, README, section 4). */
#define AT_STATUS 4
#define AT_DISTANCE 36
#define AT_NAME 40
#define AT_FLAVOR 72
#define TEXT_LEN 32

struct program {
	int fd; /* -1: not there */
	uint8_t said[SAID_CAP];
	size_t said_len;
	uint8_t heard[SAID_CAP * P0F_TUPLE_ANSWER_LEN / P0F_QUERY_LEN];
	size_t heard_len;
	bool is_over; /* the socket has hung up */
};

static struct program programs[PROGRAMS];
static struct p0f_socket *server;
static char path[64];
static uv_loop_t loop;
static bool is_asked;
static struct p0f_query asked;

#define must(is_so)                                                            \
	do {                                                                   \
		if (!(is_so)) {                                                \
			(void)fprintf(stderr, "%d: not so: %s\n", __LINE__,    \
				      #is_so);                                 \
			abort();                                               \
		}                                                              \
	} while (0)

/* Longer than the room for it, as long, shorter, or none, by the address. */
static const char *
text_of(uint8_t seed, size_t cap)
{
	static char text[P0F_SIGNATURE_CAP + 2];
	size_t len = seed % 4 == 0 ? cap + 1 : seed % 4 == 1 ? cap - 1 : seed;

	if (seed % 4 == 3)
		return NULL;
	if (len > sizeof(text) - 1)
		len = sizeof(text) - 1;
	memset(text, 'a' + seed % 26, len);
	text[len] = '\0';
	if (seed % 2 == 0 && len > 3)
		text[len / 2] = ' ';
	return text;
}

/* What is known of a client follows from its address, that it can be told
 * again when the answer is looked at. Texts: copies in *room. */
struct texts {
	char label[2 * TEXT_LEN + 4];
	char signature[P0F_SIGNATURE_CAP + 2];
	char class[P0F_NAME_CAP + 2];
	char rule[P0F_NAME_CAP + 2];
};

static const char *
keep(char *room, size_t cap, const char *text)
{
	if (text == NULL)
		return NULL;
	(void)strncpy(room, text, cap - 1);
	room[cap - 1] = '\0';
	return room;
}

static struct p0f_answer
known_of(const struct p0f_query *q, struct texts *t)
{
	static const enum p0f_status all[] = {P0F_OK, P0F_NO_MATCH, P0F_OK};
	const uint8_t *ip = q->client.ip;

	memset(t, 0, sizeof(*t));
	return (struct p0f_answer){
	    .status = all[ip[15] % 3],
	    .first_seen = ip[12],
	    .last_seen = 0xffffffffu - ip[13],
	    .connections = ip[14],
	    .distance = (int16_t)(ip[15] - 1),
	    .quality = ip[14] % 3,
	    .label =
		keep(t->label, sizeof(t->label), text_of(ip[12], 2 * TEXT_LEN)),
	    .signature = keep(t->signature, sizeof(t->signature),
			      text_of(ip[13], P0F_SIGNATURE_CAP)),
	    .class =
		keep(t->class, sizeof(t->class), text_of(ip[14], P0F_NAME_CAP)),
	    .rule =
		keep(t->rule, sizeof(t->rule), text_of(ip[15], P0F_NAME_CAP)),
	};
}

static void
answer_now(void)
{
	struct texts t;
	struct p0f_answer a;

	if (!is_asked)
		return;
	is_asked = false;
	a = known_of(&asked, &t);
	p0f_socket_answer(server, &a);
}

static void
ask(void *ctx, const struct p0f_query *q)
{
	(void)ctx;
	must(!is_asked);
	must(q->client.family == 4 || q->client.family == 6);
	must(q->is_tuple == (q->server.family != 0));
	is_asked = true;
	asked = *q;
	if ((q->client.ip[15] & 8) != 0)
		answer_now();
}

static void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
hear(struct program *p)
{
	while (!p->is_over && p->fd >= 0) {
		ssize_t n = recv(p->fd, p->heard + p->heard_len,
				 sizeof(p->heard) - p->heard_len, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			p->is_over = true;
		else
			p->heard_len += (size_t)n;
	}
}

static bool
is_terminated(const uint8_t *at, size_t cap)
{
	size_t len = strnlen((const char *)at, cap);

	for (size_t i = len; i < cap; i++) {
		if (at[i] != 0)
			return false;
	}
	return len < cap;
}

/* The text that was to be told, or as much of it as there is room for. */
static void
must_be(const uint8_t *at, size_t cap, const char *want, size_t want_len)
{
	must(is_terminated(at, cap));
	if (want == NULL)
		want_len = 0;
	if (want_len > cap - 1)
		want_len = cap - 1;
	must(strlen((const char *)at) == want_len &&
	     memcmp(at, want != NULL ? want : "", want_len) == 0);
}

static void
must_have_label(const uint8_t *out, const char *label)
{
	const char *blank = label != NULL ? strchr(label, ' ') : NULL;
	const char *flavor = blank != NULL ? blank + 1 : NULL;
	size_t name = label == NULL   ? 0
		      : blank == NULL ? strlen(label)
				      : (size_t)(blank - label);

	must_be(out + AT_NAME, TEXT_LEN, label, name);
	must_be(out + AT_FLAVOR, TEXT_LEN, flavor,
		flavor != NULL ? strlen(flavor) : 0);
}

static void
must_tell(const struct p0f_query *q, enum p0f_status bad, const uint8_t *out)
{
	static const uint8_t nothing[P0F_TUPLE_ANSWER_LEN];
	const size_t len = q->is_tuple ? P0F_TUPLE_ANSWER_LEN : P0F_ANSWER_LEN;
	const uint8_t *more = out + P0F_ANSWER_LEN;
	struct texts t;
	struct p0f_answer a = known_of(q, &t);
	uint32_t magic, status;

	if (bad == P0F_BAD_QUERY)
		a.status = bad;
	memcpy(&magic, out, sizeof(magic));
	memcpy(&status, out + AT_STATUS, sizeof(status));
	must(magic == P0F_ANSWER_MAGIC && status == a.status);
	if (a.status != P0F_OK) {
		must(memcmp(out + 8, nothing, len - 8) == 0);
		return;
	}
	must(memcmp(out + AT_DISTANCE, &a.distance, 2) == 0);
	must_have_label(out, a.label);
	if (!q->is_tuple)
		return;
	must_be(more, P0F_SIGNATURE_CAP, a.signature,
		a.signature != NULL ? strlen(a.signature) : 0);
	more += P0F_SIGNATURE_CAP;
	must_be(more, P0F_NAME_CAP, a.class,
		a.class != NULL ? strlen(a.class) : 0);
	more += P0F_NAME_CAP;
	must_be(more, P0F_NAME_CAP, a.rule,
		a.rule != NULL ? strlen(a.rule) : 0);
}

/* The same question, read by the book of p0f_query.h and nothing else. */
static bool
read_question(struct p0f_query *q, const uint8_t *at)
{
	uint32_t magic;

	memcpy(&magic, at, sizeof(magic));
	*q = (struct p0f_query){.is_tuple = magic == P0F_TUPLE_MAGIC};
	if (magic != P0F_QUERY_MAGIC && magic != P0F_TUPLE_MAGIC)
		return false;
	if (at[4] == 4)
		addr_set_v4(&q->client, at + 5, 0);
	else if (at[4] == 6)
		addr_set_v6(&q->client, at + 5, 0);
	return at[4] == 4 || at[4] == 6;
}

static size_t
length_of(const uint8_t *at, size_t left)
{
	uint32_t magic;

	if (left < sizeof(magic))
		return sizeof(magic);
	memcpy(&magic, at, sizeof(magic));
	return magic == P0F_TUPLE_MAGIC ? P0F_TUPLE_LEN : P0F_QUERY_LEN;
}

/* All that it has said is answered as it must be, and nothing else. */
static void
check(struct program *p)
{
	size_t at = 0;
	size_t heard = 0;

	while (p->said_len - at >= length_of(p->said + at, p->said_len - at)) {
		const size_t len = length_of(p->said + at, p->said_len - at);
		struct p0f_query q;
		bool is_one = read_question(&q, p->said + at);
		size_t size =
		    q.is_tuple ? P0F_TUPLE_ANSWER_LEN : P0F_ANSWER_LEN;

		must(p->heard_len - heard >= size);
		must_tell(&q, is_one ? P0F_OK : P0F_BAD_QUERY,
			  p->heard + heard);
		heard += size;
		at += len;
		if (!is_one) {
			must(p->is_over);
			break;
		}
	}
	must(heard == p->heard_len);
}

static void
come(struct program *p)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	turn(); /* who came and left is not waited for by others */
	memcpy(to.sun_path, path, sizeof(path));
	p->said_len = p->heard_len = 0;
	p->is_over = false;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(p->fd >= 0);
	must(connect(p->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
}

static void
leave(struct program *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
}

/* Says it, unless that would be too much, or nobody is there to hear. */
static void
say(struct program *p, const uint8_t *bytes, size_t len)
{
	if (len > SAID_CAP - p->said_len || p->is_over)
		return;
	if (send(p->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)len) {
		hear(p);
		must(p->is_over);
		return;
	}
	memcpy(p->said + p->said_len, bytes, len);
	p->said_len += len;
}

static void
remove_file(void)
{
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
}

static void
begin(void)
{
	char where[] = "/tmp/p0f-fuzz-XXXXXX";

	must(mkdtemp(where) != NULL);
	(void)strcpy(path, where);
	(void)strcat(path, "/socket");
	(void)atexit(remove_file);
	must(uv_loop_init(&loop) == 0);
	must(p0f_socket_start(&server, &loop, path, ask, NULL) == 0);
	for (size_t i = 0; i < PROGRAMS; i++)
		programs[i].fd = -1;
}

/* One step: who, what of it, and how many bytes. Returns what it used. */
static size_t
act(const uint8_t *bytes, size_t len)
{
	struct program *p = &programs[bytes[0] % PROGRAMS];
	size_t n = bytes[1] % 64;

	if (n > len - 2)
		n = len - 2;
	if (p->fd < 0)
		come(p);
	say(p, bytes + 2, n);
	if ((bytes[0] & 16) != 0)
		turn();
	if ((bytes[0] & 32) != 0)
		answer_now();
	if ((bytes[0] & 64) != 0)
		hear(p);
	if ((bytes[0] & 128) != 0 && (bytes[1] & 128) != 0)
		leave(p);
	return 2 + n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	if (server == NULL)
		begin();
	while (len - at > 2)
		at += act(bytes + at, len - at);
	/* As many questions as there can be, each with a turn and an answer. */
	for (size_t i = 0; i < PROGRAMS * SAID_CAP / P0F_QUERY_LEN; i++) {
		turn();
		if (!is_asked)
			break;
		answer_now();
	}
	for (size_t i = 0; i < PROGRAMS; i++) {
		if (programs[i].fd < 0)
			continue;
		hear(&programs[i]);
		check(&programs[i]);
		leave(&programs[i]);
	}
	turn();
	return 0;
}
