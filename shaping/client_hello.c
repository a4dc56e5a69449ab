/*
 * The ClientHello, byte by byte: a table of fields, each a number of one to
 * three bytes with a function that says what comes behind it.
 *
 * Invariant: every length is compared with what is left around it as soon as
 * it is known, so that no field runs out of the message. Collecting the
 * message first was rejected: that takes its 500 to 2,000 bytes, or more, of
 * each session, and a limit that post-quantum key shares come close to.
 */
#include "tarry/client_hello.h"

#define RECORD_HANDSHAKE 22
#define RECORD_HEADER 5
#define VERSION_MAJOR 3	  /* of all, from SSL 3.0 on */
#define RECORD_MAX 16384u /* RFC 8446 5.1 */
#define MESSAGE_CLIENT_HELLO 1
#define RANDOM_BYTES 32
#define SESSION_ID_MAX 32
#define NAME_IS_HOST 0

enum field {
	FIELD_TYPE,
	FIELD_LENGTH,
	FIELD_VERSION,
	FIELD_SESSION_ID,
	FIELD_CIPHERS,
	FIELD_CIPHER,
	FIELD_COMPRESSIONS,
	FIELD_EXTENSIONS,
	FIELD_EXTENSION,
	FIELD_EXTENSION_LENGTH,
	FIELD_VERSIONS,
	FIELD_OFFERED_VERSION,
	FIELD_SCHEMES,
	FIELD_SCHEME,
	FIELD_NAMES,
	FIELD_NAME_TYPE,
	FIELD_NAME_LENGTH,
	FIELD_NAME,
	FIELD_PROTOCOLS,
	FIELD_PROTOCOL_LENGTH,
	FIELD_PROTOCOL,
	FIELD_COUNT
};

typedef void field_handler(struct client_hello *h, uint32_t number);

static const char *const state_names[CLIENT_HELLO_STATES] = {
    [CLIENT_HELLO_MORE] = "more",	  [CLIENT_HELLO_DONE] = "done",
    [CLIENT_HELLO_NOT_TLS] = "not_tls",	  [CLIENT_HELLO_BROKEN] = "broken",
    [CLIENT_HELLO_TOO_LONG] = "too_long",
};

const char *
client_hello_state_name(enum client_hello_state state)
{
	return state_names[state];
}

bool
client_hello_has(const struct client_hello *h, uint16_t extension)
{
	for (unsigned i = 0; i < h->extensions_count; i++) {
		if (h->extensions[i] == extension)
			return true;
	}
	return false;
}

static void
end(struct client_hello *h, enum client_hello_state state)
{
	h->state = (uint8_t)state; /* few */
}

static void
go_to(struct client_hello *h, enum field field, uint32_t skip)
{
	h->field = (uint8_t)field; /* few */
	h->skip = skip;
	if (skip > h->message_left)
		end(h, CLIENT_HELLO_BROKEN);
}

/* A list of so many bytes begins; of it the items. */
static void
begin_list(struct client_hello *h, enum field item, uint32_t len)
{
	h->list_left = len;
	go_to(h, item, 0);
}

/* Nothing more of this extension is wanted. */
static void
leave_extension(struct client_hello *h)
{
	go_to(h, FIELD_EXTENSION, h->extension_left);
}

static void
take_type(struct client_hello *h, uint32_t number)
{
	if (number != MESSAGE_CLIENT_HELLO)
		end(h, CLIENT_HELLO_NOT_TLS);
	h->field = FIELD_LENGTH;
}

static void
take_length(struct client_hello *h, uint32_t number)
{
	h->message_left = number;
	h->field = FIELD_VERSION;
	if (number > CLIENT_HELLO_LEN_MAX)
		end(h, CLIENT_HELLO_TOO_LONG);
	else if (number == 0)
		end(h, CLIENT_HELLO_BROKEN);
}

static void
take_version(struct client_hello *h, uint32_t number)
{
	h->legacy_version = (uint16_t)number; /* two bytes */
	go_to(h, FIELD_SESSION_ID, RANDOM_BYTES);
}

static void
take_session_id(struct client_hello *h, uint32_t number)
{
	go_to(h, FIELD_CIPHERS, number);
	if (number > SESSION_ID_MAX)
		end(h, CLIENT_HELLO_BROKEN);
}

static void
take_ciphers(struct client_hello *h, uint32_t number)
{
	begin_list(h, FIELD_CIPHER, number);
	if (number == 0 || number % 2 != 0 || number > h->message_left)
		end(h, CLIENT_HELLO_BROKEN);
}

static void
take_cipher(struct client_hello *h, uint32_t number)
{
	if (h->ciphers_count == CLIENT_HELLO_CIPHERS_CAP) {
		end(h, CLIENT_HELLO_TOO_LONG);
		return;
	}
	h->ciphers[h->ciphers_count++] = (uint16_t)number; /* two bytes */
	if (h->list_left == 0)
		go_to(h, FIELD_COMPRESSIONS, 0);
}

static void
take_compressions(struct client_hello *h, uint32_t number)
{
	go_to(h, FIELD_EXTENSIONS, number);
}

static void
take_extensions(struct client_hello *h, uint32_t number)
{
	go_to(h, FIELD_EXTENSION, 0);
	if (number != h->message_left)
		end(h, CLIENT_HELLO_BROKEN);
}

static void
take_extension(struct client_hello *h, uint32_t number)
{
	uint16_t kind = (uint16_t)number; /* two bytes */

	h->field = FIELD_EXTENSION_LENGTH;
	if (h->extensions_count == CLIENT_HELLO_EXTENSIONS_CAP) {
		end(h, CLIENT_HELLO_TOO_LONG);
		return;
	}
	h->is_first_of_kind = !client_hello_has(h, kind);
	h->extensions[h->extensions_count++] = kind;
}

static void
take_extension_length(struct client_hello *h, uint32_t number)
{
	h->extension_left = number;
	h->is_in_extension = number > 0;
	leave_extension(h);
	if (!h->is_first_of_kind || number == 0 || number > h->message_left)
		return;
	switch (h->extensions[h->extensions_count - 1]) {
	case CLIENT_HELLO_SERVER_NAME:
		go_to(h, FIELD_NAMES, 0);
		break;
	case CLIENT_HELLO_SCHEMES:
		go_to(h, FIELD_SCHEMES, 0);
		break;
	case CLIENT_HELLO_ALPN:
		go_to(h, FIELD_PROTOCOLS, 0);
		break;
	case CLIENT_HELLO_VERSIONS:
		go_to(h, FIELD_VERSIONS, 0);
		break;
	default:
		break;
	}
}

static void
take_versions(struct client_hello *h, uint32_t number)
{
	begin_list(h, FIELD_OFFERED_VERSION, number);
	if (number == 0)
		leave_extension(h);
}

static void
take_offered_version(struct client_hello *h, uint32_t number)
{
	if (!client_hello_is_grease(number) && number > h->version)
		h->version = (uint16_t)number; /* two bytes */
	if (h->list_left < 2)
		leave_extension(h);
}

static void
take_schemes(struct client_hello *h, uint32_t number)
{
	begin_list(h, FIELD_SCHEME, number);
	if (number == 0)
		leave_extension(h);
}

static void
take_scheme(struct client_hello *h, uint32_t number)
{
	if (h->schemes_count == CLIENT_HELLO_SCHEMES_CAP) {
		end(h, CLIENT_HELLO_TOO_LONG);
		return;
	}
	h->schemes[h->schemes_count++] = (uint16_t)number; /* two bytes */
	if (h->list_left < 2)
		leave_extension(h);
}

static void
take_names(struct client_hello *h, uint32_t number)
{
	(void)number; /* one name is all that there ever is */
	go_to(h, FIELD_NAME_TYPE, 0);
}

static void
take_name_type(struct client_hello *h, uint32_t number)
{
	h->field = FIELD_NAME_LENGTH;
	if (number != NAME_IS_HOST)
		leave_extension(h);
}

static void
take_name_length(struct client_hello *h, uint32_t number)
{
	begin_list(h, FIELD_NAME, number);
	if (number == 0)
		leave_extension(h);
}

static void
take_name(struct client_hello *h, uint32_t number)
{
	if (h->name_len < CLIENT_HELLO_NAME_CAP)
		h->name[h->name_len++] = (char)number; /* one byte */
	if (h->list_left == 0)
		leave_extension(h);
}

static void
take_protocols(struct client_hello *h, uint32_t number)
{
	(void)number; /* the first one is all that is wanted */
	go_to(h, FIELD_PROTOCOL_LENGTH, 0);
}

static void
take_protocol_length(struct client_hello *h, uint32_t number)
{
	begin_list(h, FIELD_PROTOCOL, number);
	if (number == 0)
		leave_extension(h);
}

static void
take_protocol(struct client_hello *h, uint32_t number)
{
	uint8_t byte = (uint8_t)number; /* one byte */

	if (h->protocol_len++ == 0)
		h->protocol_first = byte;
	h->protocol_last = byte;
	if (h->list_left == 0)
		leave_extension(h);
}

static const struct {
	uint8_t width;
	bool is_item; /* of the list that is being read */
	field_handler *take;
} fields[FIELD_COUNT] = {
    [FIELD_TYPE] = {1, false, take_type},
    [FIELD_LENGTH] = {3, false, take_length},
    [FIELD_VERSION] = {2, false, take_version},
    [FIELD_SESSION_ID] = {1, false, take_session_id},
    [FIELD_CIPHERS] = {2, false, take_ciphers},
    [FIELD_CIPHER] = {2, true, take_cipher},
    [FIELD_COMPRESSIONS] = {1, false, take_compressions},
    [FIELD_EXTENSIONS] = {2, false, take_extensions},
    [FIELD_EXTENSION] = {2, false, take_extension},
    [FIELD_EXTENSION_LENGTH] = {2, false, take_extension_length},
    [FIELD_VERSIONS] = {1, false, take_versions},
    [FIELD_OFFERED_VERSION] = {2, true, take_offered_version},
    [FIELD_SCHEMES] = {2, false, take_schemes},
    [FIELD_SCHEME] = {2, true, take_scheme},
    [FIELD_NAMES] = {2, false, take_names},
    [FIELD_NAME_TYPE] = {1, false, take_name_type},
    [FIELD_NAME_LENGTH] = {2, false, take_name_length},
    [FIELD_NAME] = {1, true, take_name},
    [FIELD_PROTOCOLS] = {2, false, take_protocols},
    [FIELD_PROTOCOL_LENGTH] = {1, false, take_protocol_length},
    [FIELD_PROTOCOL] = {1, true, take_protocol},
};

/* The extension is over, wherever its inside had got to. */
static void
end_extension(struct client_hello *h)
{
	h->is_in_extension = false;
	h->gathered = 0;
	h->number = 0;
	go_to(h, FIELD_EXTENSION, 0);
}

/* The message is over: behind the compressions, or behind an extension. */
static void
end_message(struct client_hello *h)
{
	bool is_whole =
	    h->gathered == 0 && h->skip == 0 &&
	    (h->field == FIELD_EXTENSIONS || h->field == FIELD_EXTENSION);

	end(h, is_whole ? CLIENT_HELLO_DONE : CLIENT_HELLO_BROKEN);
}

/* One byte of the field; with its last one the number is taken. */
static void
gather(struct client_hello *h, uint8_t byte)
{
	uint8_t field = h->field;
	uint32_t number = h->number << 8 | byte;

	h->gathered++;
	if (fields[field].is_item)
		h->list_left--;
	if (h->gathered < fields[field].width) {
		h->number = number;
		return;
	}
	h->gathered = 0;
	h->number = 0;
	fields[field].take(h, number);
}

static void
take_byte(struct client_hello *h, uint8_t byte)
{
	if (h->field > FIELD_LENGTH)
		h->message_left--;
	if (h->is_in_extension)
		h->extension_left--;
	if (h->skip > 0)
		h->skip--;
	else
		gather(h, byte);
	if (h->state != CLIENT_HELLO_MORE)
		return;
	if (h->is_in_extension && h->extension_left == 0)
		end_extension(h);
	if (h->field > FIELD_LENGTH && h->message_left == 0)
		end_message(h);
}

/* The header of a record, which may stand between any two bytes. */
static void
take_header(struct client_hello *h, uint8_t byte)
{
	bool is_first = h->field == FIELD_TYPE && h->gathered == 0;
	enum client_hello_state odd =
	    is_first ? CLIENT_HELLO_NOT_TLS : CLIENT_HELLO_BROKEN;

	if (h->header_at == 0 && byte != RECORD_HANDSHAKE)
		end(h, odd);
	if (h->header_at == 1 && byte != VERSION_MAJOR)
		end(h, odd);
	if (h->header_at >= 3)
		h->record_left = h->record_left << 8 | byte;
	if (++h->header_at < RECORD_HEADER)
		return;
	h->header_at = 0;
	if (h->record_left == 0 || h->record_left > RECORD_MAX)
		end(h, CLIENT_HELLO_BROKEN);
}

enum client_hello_state
client_hello_read(struct client_hello *h, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && h->state == CLIENT_HELLO_MORE; i++) {
		if (h->header_at > 0 || h->record_left == 0) {
			take_header(h, bytes[i]);
		} else {
			h->record_left--;
			take_byte(h, bytes[i]);
		}
	}
	return (enum client_hello_state)h->state;
}
