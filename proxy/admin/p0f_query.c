#include "proxy/admin/p0f_query.h"

#include <string.h>

#define MAGIC_LEN 4u
#define TEXT_LEN 32u
/* Where the fields stand in an answer. */
#define AT_STATUS 4u
#define AT_FIRST_SEEN 8u
#define AT_LAST_SEEN 12u
#define AT_CONNECTIONS 16u
#define AT_DISTANCE 36u
#define AT_QUALITY 39u
#define AT_NAME 40u
#define AT_FLAVOR 72u

/* True if it is an address. */
static bool
read_address(struct addr *a, uint8_t version, const uint8_t ip[16])
{
	if (version == 4)
		addr_set_v4(a, ip, 0);
	else if (version == 6)
		addr_set_v6(a, ip, 0);
	return version == 4 || version == 6;
}

int
p0f_query_read(struct p0f_query *q, const uint8_t *bytes, size_t len)
{
	uint32_t magic;
	size_t whole;

	*q = (struct p0f_query){0};
	if (len < MAGIC_LEN)
		return 0;
	memcpy(&magic, bytes, sizeof(magic));
	q->is_tuple = magic == P0F_TUPLE_MAGIC;
	whole = q->is_tuple ? P0F_TUPLE_LEN : P0F_QUERY_LEN;
	if (len < whole)
		return 0;
	if (magic != P0F_QUERY_MAGIC && !q->is_tuple)
		return -1;
	if (!read_address(&q->client, bytes[4], bytes + 5))
		return -1;
	if (q->is_tuple) {
		(void)read_address(&q->server, bytes[4], bytes + 23);
		memcpy(&q->client.port, bytes + 21, sizeof(uint16_t));
		memcpy(&q->server.port, bytes + 39, sizeof(uint16_t));
	}
	return (int)whole; /* 41 at most */
}

static void
put_number(uint8_t *at, uint32_t number)
{
	memcpy(at, &number, sizeof(number));
}

/* NUL-terminated; the room is zeroed. */
static void
put_text(uint8_t *at, size_t cap, const char *text, size_t len)
{
	memcpy(at, text, len < cap - 1 ? len : cap - 1);
}

/* The first word of a label is what p0f calls the name. */
static void
put_label(uint8_t *out, const char *label)
{
	size_t name = strcspn(label, " ");
	const char *flavor = label + name + (label[name] == ' ');

	put_text(out + AT_NAME, TEXT_LEN, label, name);
	put_text(out + AT_FLAVOR, TEXT_LEN, flavor, strlen(flavor));
}

static void
put_name(uint8_t *at, size_t cap, const char *text)
{
	if (text != NULL)
		put_text(at, cap, text, strlen(text));
}

size_t
p0f_answer_write(const struct p0f_answer *a, bool is_tuple,
		 uint8_t out[P0F_TUPLE_ANSWER_LEN])
{
	uint8_t *more = out + P0F_ANSWER_LEN;

	memset(out, 0, P0F_TUPLE_ANSWER_LEN);
	put_number(out, P0F_ANSWER_MAGIC);
	put_number(out + AT_STATUS, a->status);
	if (a->status == P0F_OK) {
		put_number(out + AT_FIRST_SEEN, a->first_seen);
		put_number(out + AT_LAST_SEEN, a->last_seen);
		put_number(out + AT_CONNECTIONS, a->connections);
		memcpy(out + AT_DISTANCE, &a->distance, sizeof(a->distance));
		out[AT_QUALITY] = a->quality;
		if (a->label != NULL)
			put_label(out, a->label);
		put_name(more, P0F_SIGNATURE_CAP, a->signature);
		more += P0F_SIGNATURE_CAP;
		put_name(more, P0F_NAME_CAP, a->class);
		put_name(more + P0F_NAME_CAP, P0F_NAME_CAP, a->rule);
	}
	return is_tuple ? P0F_TUPLE_ANSWER_LEN : P0F_ANSWER_LEN;
}
