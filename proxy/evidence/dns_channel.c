#include "proxy/evidence/dns_channel.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Each server is asked twice, the second time for twice as long. */
#define TRIES 2
#define SHARES 3

/* One question under way. */
struct flight {
	struct dns_channel *channel;
	const struct config_list *list; /* NULL: a name */
	struct addr client;
	uint32_t tag;
	uint64_t begun_ms;
	bool is_used;
	int names_count; /* of the address; 0: they are asked for */
	int names_at;
	uint32_t ttl_s; /* of what was learnt before */
	char names[DNS_NAMES_CAP][DNS_NAME_CAP];
};

/* A socket of c-ares's; freed when the loop lets go. */
struct watch {
	uv_poll_t poll;
	struct watch *next;
	struct dns_channel *channel;
	ares_socket_t fd;
};

struct dns_channel {
	struct dns_channel_options options;
	uv_loop_t *loop;
	ares_channel ares;
	struct watch *watches;
	uint32_t flying;
	uint64_t sent;
	bool is_closing;
	struct flight flights[DNS_FLIGHTS];
};

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	const struct watch *w = poll->data;
	ares_socket_t in = ARES_SOCKET_BAD;
	ares_socket_t out = ARES_SOCKET_BAD;

	if (status < 0 || (events & UV_READABLE) != 0)
		in = w->fd;
	if (status < 0 || (events & UV_WRITABLE) != 0)
		out = w->fd;
	ares_process_fd(w->channel->ares, in, out);
}

static void
on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static struct watch *
new_watch(struct dns_channel *ch, ares_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	if (uv_poll_init(ch->loop, &w->poll, fd) != 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->channel = ch;
	w->fd = fd;
	w->next = ch->watches;
	ch->watches = w;
	return w;
}

/* c-ares wants to know when the socket can be used, or is about to close it.
 * Without memory its questions run into their time-out. */
static void
on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *ch = data;
	struct watch **at = &ch->watches;
	struct watch *w;

	while (*at != NULL && (*at)->fd != fd)
		at = &(*at)->next;
	w = *at;
	if (readable || writable) {
		if (w == NULL)
			w = new_watch(ch, fd);
		if (w != NULL)
			(void)uv_poll_start(&w->poll,
					    (readable ? UV_READABLE : 0) |
						(writable ? UV_WRITABLE : 0),
					    on_ready);
		return;
	}
	if (w == NULL)
		return;
	*at = w->next;
	uv_close((uv_handle_t *)&w->poll, on_closed);
}

static void
finish(struct flight *f, enum dns_kind kind, uint32_t ttl_s)
{
	struct dns_channel *ch = f->channel;
	struct dns_result result = {
	    .kind = kind,
	    .ttl_s = ttl_s,
	    .took_ms = uv_now(ch->loop) - f->begun_ms,
	};
	char name[DNS_NAME_CAP];

	/* The next question may be in its place before the call is over. */
	if (kind == DNS_CONFIRMED)
		result.name = strcpy(name, f->names[f->names_at]);
	f->is_used = false;
	ch->flying--;
	ch->options.done(ch->options.ctx, f->tag, &result);
}

/* What a question without an answer was. c-ares says "connection refused" too
 * where every server has said SERVFAIL or REFUSED. */
static enum dns_kind
kind_of(int status)
{
	return status == ARES_ETIMEOUT ? DNS_TIMEOUT : DNS_FAILED;
}

static bool
is_nothing(int status)
{
	return status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

static void
on_list(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct flight *f = arg;
	enum dns_kind kind = DNS_CLEAR;
	uint32_t ttl_s = 0;

	(void)timeouts;
	if (f->channel->is_closing)
		return;
	if (status == ARES_SUCCESS)
		kind = dns_judge_list(f->list, msg, (size_t)len, &ttl_s);
	else if (!is_nothing(status))
		kind = kind_of(status);
	finish(f, kind, ttl_s);
}

static void on_name(void *arg, int status, int timeouts, unsigned char *msg,
		    int len);

static void
ask_name(struct flight *f)
{
	f->channel->sent++;
	ares_query(f->channel->ares, f->names[f->names_at], ns_c_in,
		   f->client.family == 4 ? ns_t_a : ns_t_aaaa, on_name, f);
}

static void
on_name(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct flight *f = arg;
	enum dns_kind kind = DNS_UNCONFIRMED;
	uint32_t ttl_s = 0;

	(void)timeouts;
	if (f->channel->is_closing)
		return;
	if (status == ARES_SUCCESS)
		kind = dns_judge_name(&f->client, msg, (size_t)len, &ttl_s);
	else if (!is_nothing(status))
		kind = kind_of(status);
	if (kind != DNS_UNCONFIRMED || ++f->names_at >= f->names_count)
		finish(f, kind, ttl_s);
	else
		ask_name(f);
}

static void
on_names(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct flight *f = arg;

	(void)timeouts;
	if (f->channel->is_closing)
		return;
	if (is_nothing(status)) {
		finish(f, DNS_NONE, 0);
		return;
	}
	if (status != ARES_SUCCESS) {
		finish(f, kind_of(status), 0);
		return;
	}
	f->names_count = dns_names(&f->client, msg, (size_t)len, f->names);
	if (f->names_count <= 0)
		finish(f, f->names_count == 0 ? DNS_NONE : DNS_FAILED, 0);
	else
		ask_name(f);
}

static struct flight *
free_flight(struct dns_channel *ch)
{
	for (size_t i = 0; i < DNS_FLIGHTS; i++) {
		if (!ch->flights[i].is_used)
			return &ch->flights[i];
	}
	return NULL;
}

void
dns_channel_ask(struct dns_channel *ch, uint32_t tag, const struct addr *a,
		const struct config_list *list)
{
	struct flight *f = free_flight(ch);
	char name[DNS_NAME_CAP];

	if (f == NULL)
		return;
	f->channel = ch;
	f->list = list;
	f->client = *a;
	f->tag = tag;
	f->begun_ms = uv_now(ch->loop);
	f->is_used = true;
	f->names_count = 0;
	f->names_at = 0;
	ch->flying++;
	ch->sent++;
	if (list == NULL) {
		dns_arpa(a, name);
		ares_query(ch->ares, name, ns_c_in, ns_t_ptr, on_names, f);
		return;
	}
	dns_reverse(a, list->domain, name);
	ares_query(ch->ares, name, ns_c_in, ns_t_a, on_list, f);
}

/* A channel whose questions last so long at most. */
static int
init(struct dns_channel *ch, uint32_t timeout_ms)
{
	char lookups[] = "b";
	struct ares_options o = {
	    .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
	    .timeout = (int)timeout_ms, /* 30 s at most */
	    .tries = TRIES,
	    .lookups = lookups,
	    .sock_state_cb = on_socket,
	    .sock_state_cb_data = ch,
	};

	return ares_init_options(&ch->ares, &o,
				 ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS |
				     ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
				     ARES_OPT_SOCK_STATE_CB);
}

static uint32_t
count_servers(struct dns_channel *ch)
{
	struct ares_addr_port_node *all = NULL;
	uint32_t count = 0;

	if (ares_get_servers_ports(ch->ares, &all) != ARES_SUCCESS)
		return 1;
	for (const struct ares_addr_port_node *n = all; n != NULL; n = n->next)
		count++;
	ares_free_data(all);
	return count > 0 ? count : 1;
}

static int
set_server(struct dns_channel *ch, const struct addr *a)
{
	struct ares_addr_port_node node = {
	    .family = a->family == 4 ? AF_INET : AF_INET6,
	    .udp_port = a->port,
	    .tcp_port = a->port,
	};

	if (a->family == 4)
		memcpy(&node.addr.addr4, a->ip + 12, 4);
	else
		memcpy(&node.addr.addr6, a->ip, 16);
	return ares_set_servers_ports(ch->ares, &node);
}

/* Opened twice where the system says how many servers there are: all of them
 * together are to be done in time. */
static int
open_ares(struct dns_channel *ch)
{
	const struct config_dns *dns = ch->options.dns;
	uint32_t share_ms = dns->timeout_ms / SHARES;
	uint32_t servers;
	int rc = init(ch, share_ms);

	if (rc != ARES_SUCCESS)
		return rc;
	if (dns->resolver.family != 0) {
		rc = set_server(ch, &dns->resolver);
		if (rc != ARES_SUCCESS)
			ares_destroy(ch->ares);
		return rc;
	}
	servers = count_servers(ch);
	if (servers == 1)
		return rc;
	ares_destroy(ch->ares);
	return init(ch, share_ms / servers > 0 ? share_ms / servers : 1);
}

int
dns_channel_open(struct dns_channel **out, uv_loop_t *loop,
		 const struct dns_channel_options *options)
{
	struct dns_channel *ch = calloc(1, sizeof(*ch));
	int rc;

	*out = NULL;
	if (ch == NULL)
		return -ENOMEM;
	ch->options = *options;
	ch->loop = loop;
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS) {
		rc = open_ares(ch);
		if (rc != ARES_SUCCESS)
			ares_library_cleanup();
	}
	if (rc != ARES_SUCCESS) {
		free(ch);
		return rc == ARES_ENOMEM ? -ENOMEM : -EINVAL;
	}
	*out = ch;
	return 0;
}

void
dns_channel_close(struct dns_channel *ch)
{
	if (ch == NULL)
		return;
	ch->is_closing = true;
	ares_destroy(ch->ares);
	ares_library_cleanup();
	free(ch);
}

uint32_t
dns_channel_flying(const struct dns_channel *ch)
{
	return ch->flying;
}

uint64_t
dns_channel_sent(const struct dns_channel *ch)
{
	return ch->sent;
}

void
dns_channel_tick(struct dns_channel *ch)
{
	ares_process_fd(ch->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
