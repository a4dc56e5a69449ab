/*
 * TLS that ends here: STARTTLS is ours to answer, and the keyword in the
 * MTA's replies to EHLO says so.
 *
 * A line that may be STARTTLS begins a step and is held until it is whole, so
 * that the MTA never gets a piece of it. Nothing of ours waits on the way: what
 * was asked before is answered at once, and our 220 goes when all of that is
 * out. What the client said behind STARTTLS is forgotten (CVE-2011-0411), and
 * behind the handshake the observer begins anew (RFC 3207 4.2). The MTA notices
 * nothing of it but a second EHLO, which resets it as RSET would; so a session
 * that has said MAIL or AUTH before is too late for us, and its STARTTLS is the
 * MTA's to answer.
 *
 * Where the MTA's side is to be TLS too (site->mta_tls) the MTA is asked first.
 * It offers the keyword itself, or nobody does; its 220 waits until the
 * handshake with it is over, and is what the client hears then; what it says
 * instead of 220 is the client's answer, and the session goes on in the clear.
 */
#include "shaping/session_step.h"

#include <string.h>

#define STARTTLS "STARTTLS\r\n"
#define GO_AHEAD "220 2.0.0 Ready to start TLS\r\n"
#define KEYWORD "STARTTLS\r\n"
#define CODE_LEN 3 /* digits; then `-` or a blank */
#define OWN_MAX 3  /* two bits */

/* True while a STARTTLS would be ours to answer. */
static bool
is_offered(const struct step *st)
{
	return st->site->has_tls && st->s->tls == SESSION_TLS_NONE &&
	       !st->leg->is_begun && !st->s->client_fin;
}

bool
tls_may_begin(const struct step *st, uint8_t byte)
{
	const struct smtp_client *c = &st->leg->client;

	return is_offered(st) && c->mode == SMTP_COMMANDS &&
	       c->line_bytes == 0 && (byte == 's' || byte == 'S');
}

bool
tls_is_ours(const struct step *st, size_t line_len, bool is_whole)
{
	return (st->s->is_kept || is_whole) && is_offered(st) &&
	       smtp_client_is_starttls(&st->leg->client, line_len);
}

void
tls_asked(struct step *st)
{
	struct session *s = st->s;
	struct session_note note = {.at_ms = st->now, .verb = SMTP_STARTTLS};

	queue_note(st, &note);
	s->tls = SESSION_TLS_ASKED;
	reply_hurry(st);
}

static bool
may_be_starttls(const struct step *st, size_t n)
{
	const struct smtp_client *c = &st->leg->client;

	return c->mode == SMTP_COMMANDS && c->line_bytes > 0 &&
	       tls_is_ours(st, c->line_bytes, c->line_bytes == n);
}

void
tls_keep_line(struct step *st, size_t n, size_t kept)
{
	struct session *s = st->s;
	uint32_t keep = 0;

	if (!s->is_kept && !st->site->has_tls)
		return;
	if (tls_is_asked(s)) {
		st->o->drop[SIDE_CLIENT] = (uint32_t)(n + kept);
		keep = (uint32_t)(n + kept); /* a line is short */
	} else if (may_be_starttls(st, n)) {
		keep = st->leg->client.line_bytes;
	}
	st->o->release[SIDE_CLIENT] += (uint32_t)kept - keep;
	s->counts.bytes[SIDE_CLIENT] += kept;
	s->counts.bytes[SIDE_CLIENT] -= keep;
	s->is_kept = keep > 0 && !tls_is_asked(s);
}

void
tls_let_line_go(struct step *st)
{
	struct session *s = st->s;
	uint32_t kept = st->leg->client.line_bytes;

	if (!s->is_kept)
		return;
	s->is_kept = false;
	st->o->release[SIDE_CLIENT] += kept;
	s->counts.bytes[SIDE_CLIENT] += kept;
}

enum session_phase
tls_begin(struct step *st, enum session_phase next)
{
	if (next != PHASE_RELAY && next != PHASE_BLIND)
		return next;
	if (st->s->client_fin)
		return relay_close(st, REASON_CLIENT_CLOSED);
	if (st->leg->count > 0 || st->leg->partial > 0)
		return next;
	st->o->want_flushed = true;
	return PHASE_TLS;
}

static enum session_phase
shake(struct step *st)
{
	struct session *s = st->s;

	manners_tls(st);
	s->tls = SESSION_TLS_SHAKES;
	s->unused = 0;
	s->segments_count = 0;
	s->is_between_segments = false;
	st->o->start_tls = true;
	return PHASE_TLS;
}

enum session_phase
tls_open(struct step *st)
{
	return shake(st);
}

static void
note_answer(struct step *st, uint16_t code)
{
	struct session_note note = {.at_ms = st->now,
				    .due_ms = st->now,
				    .code = code,
				    .verb = SMTP_STARTTLS};

	queue_note(st, &note);
}

/* All that was said before is out, or the 220 is. */
enum session_phase
tls_flushed(struct step *st)
{
	struct session *s = st->s;

	if (s->tls == SESSION_TLS_SAID)
		return shake(st);
	if (s->tls != SESSION_TLS_ASKED)
		return PHASE_TLS;
	if (st->site->mta_tls) {
		step_say(st, SIDE_MTA, STARTTLS, sizeof(STARTTLS) - 1);
		s->tls = SESSION_TLS_MTA_ASKED;
		return PHASE_TLS;
	}
	step_say(st, SIDE_CLIENT, GO_AHEAD, sizeof(GO_AHEAD) - 1);
	note_answer(st, 220);
	s->counts.own_starttls = true;
	s->tls = SESSION_TLS_SAID;
	st->o->want_flushed = true;
	return PHASE_TLS;
}

/* In the clear, behind STARTTLS. */
enum session_phase
tls_bytes(struct step *st)
{
	return (enum session_phase)st->s->phase; /* stored small */
}

/* The client gets the MTA's answer. */
static void
pass_answer(struct step *st)
{
	st->o->release[SIDE_MTA] += st->leg->partial;
	st->s->counts.bytes[SIDE_MTA] += st->leg->partial;
	st->leg->partial = 0;
}

/*
 * Its handshake can only follow the 220: what is behind that in the clear is
 * forgotten, as the client's is.
 */
static enum session_phase
answered(struct step *st, uint16_t code)
{
	struct session *s = st->s;

	note_answer(st, code);
	if (code == 220) {
		s->tls = SESSION_TLS_MTA_SHAKES;
		st->o->start_mta_tls = true;
		return PHASE_TLS;
	}
	s->tls = SESSION_TLS_NONE;
	st->leg->client.mode = SMTP_COMMANDS;
	pass_answer(st);
	return PHASE_RELAY;
}

/* The MTA's answer to STARTTLS; in a client's handshake what it says waits. */
enum session_phase
tls_answer(struct step *st)
{
	struct leg *leg = st->leg;
	enum smtp_reply_event what;
	uint16_t code;
	size_t n;

	if (st->s->tls != SESSION_TLS_MTA_ASKED || st->ev->len == 0)
		return PHASE_TLS;
	what = smtp_reply_read(&leg->reply, st->ev->bytes, st->ev->len, &n);
	st->o->used = (uint32_t)n;
	leg->partial += (uint32_t)n;
	if (what == SMTP_REPLY_LOST || leg->partial > SESSION_HELD_CAP)
		return relay_close(st, REASON_MTA_TLS_FAILED);
	if (what == SMTP_REPLY_MORE)
		return PHASE_TLS;
	code = leg->reply.code;
	smtp_reply_next(&leg->reply);
	return answered(st, code);
}

enum session_phase
tls_fin(struct step *st)
{
	st->s->client_fin = true;
	return relay_close(st, REASON_CLIENT_CLOSED);
}

enum session_phase
tls_mta_end(struct step *st)
{
	st->s->mta_fin = true;
	return relay_close(st, st->ev->kind == EVENT_FIN ? REASON_MTA_CLOSED
							 : REASON_MTA_RESET);
}

/* The client may begin, by the MTA's own word. */
static enum session_phase
mta_up(struct step *st)
{
	st->s->is_mta_tls = true;
	st->s->tls = SESSION_TLS_SAID;
	pass_answer(st);
	st->o->want_flushed = true;
	return PHASE_TLS;
}

/* The session begins anew for the client; for the MTA as well, or it goes on.
 */
enum session_phase
tls_up(struct step *st)
{
	struct session *s = st->s;
	struct leg *leg = st->leg;

	if (st->ev->side == SIDE_MTA)
		return mta_up(st);
	s->tls = SESSION_TLS_UP;
	s->last_byte_ms = st->now;
	if (leg == NULL)
		return greet_begin(st);
	memset(&leg->client, 0, sizeof(leg->client));
	manners_tls_up(leg);
	if (!s->is_lost)
		return PHASE_RELAY;
	leg->client.mode = SMTP_OPAQUE;
	return PHASE_BLIND;
}

static bool
is_about_mta(const struct session *s)
{
	return s->tls == SESSION_TLS_MTA_ASKED ||
	       s->tls == SESSION_TLS_MTA_SHAKES;
}

enum session_phase
tls_failed(struct step *st)
{
	return relay_close(st, is_about_mta(st->s) ? REASON_MTA_TLS_FAILED
						   : REASON_TLS_FAILED);
}

enum session_phase
tls_wake(struct step *st)
{
	if (st->now < st->s->phase_ms + SESSION_TLS_MS)
		return PHASE_TLS;
	return tls_failed(st);
}

enum session_phase
tls_replan(struct step *st)
{
	struct plan old = st->s->plan;

	st->s->plan = *st->ev->plan;
	if (st->leg != NULL)
		place_replan(st, &old);
	return PHASE_TLS;
}

enum session_phase
tls_hurry(struct step *st)
{
	st->s->is_spent = true;
	return PHASE_TLS;
}

/* A line of a reply: where it stands, and whether it is the keyword. */
struct line {
	uint32_t at;
	uint32_t len;
};

static bool
is_keyword(const uint8_t *bytes, const struct line *line)
{
	static const char word[] = "STARTTLS";
	const size_t word_len = sizeof(word) - 1;
	const uint8_t *text = bytes + line->at + CODE_LEN + 1;
	size_t i;

	if (line->len <= CODE_LEN + 1 + word_len)
		return false;
	for (i = 0; i < word_len; i++) {
		if (text[i] != word[i] && text[i] != word[i] + ('a' - 'A'))
			return false;
	}
	return text[i] == '\r' || text[i] == '\n' || text[i] == ' ';
}

/* What of a whole reply to EHLO matters here. */
struct ehlo {
	struct line last;
	struct line before_last; /* len 0: there is one line only */
	struct line keyword;	 /* len 0: none */
	struct line before_keyword;
};

static void
read_lines(struct ehlo *e, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	memset(e, 0, sizeof(*e));
	while (at < len) {
		const uint8_t *lf = memchr(bytes + at, '\n', len - at);
		size_t end = lf != NULL ? (size_t)(lf - bytes) + 1 : len;

		e->before_last = e->last;
		/* SESSION_EHLO_CAP bounds both. */
		e->last = (struct line){(uint32_t)at, (uint32_t)(end - at)};
		at = end;
		if (e->before_last.len == 0 || !is_keyword(bytes, &e->last))
			continue;
		e->keyword = e->last;
		e->before_keyword = e->before_last;
	}
}

static void
edit(struct step *st, size_t at, size_t cut, const char *text)
{
	struct orders *o = st->o;
	size_t len = strlen(text);

	/* A reply to EHLO is short. */
	o->edits[o->edits_count++] = (struct session_edit){
	    (uint32_t)at, (uint16_t)cut, (uint16_t)len, text};
}

static void
add_keyword(struct step *st, const struct ehlo *e, const uint8_t *bytes,
	    size_t at)
{
	struct session_counts *counts = &st->s->counts;
	size_t mark = e->last.at + CODE_LEN;

	if (e->before_last.len > 0) {
		edit(st, at + e->last.at, 0, "250-" KEYWORD);
	} else {
		edit(st, at + mark, bytes[mark] == ' ', "-");
		edit(st, at + e->last.len, 0, "250 " KEYWORD);
	}
	if (counts->own_added < OWN_MAX)
		counts->own_added++;
}

static void
remove_keyword(struct step *st, const struct ehlo *e, size_t at)
{
	struct session_counts *counts = &st->s->counts;

	if (e->keyword.at == e->last.at)
		edit(st, at + e->before_keyword.at + CODE_LEN, 1, " ");
	edit(st, at + e->keyword.at, e->keyword.len, "");
	if (counts->own_removed < OWN_MAX)
		counts->own_removed++;
}

enum tls_ehlo
tls_read_ehlo(struct step *st, struct pending *e, size_t at)
{
	const uint8_t *bytes = st->ev->bytes + at;
	size_t len = st->ev->len - at;
	struct smtp_reply reply;
	struct ehlo ehlo;
	size_t n;

	if (e == NULL || e->verb != SMTP_EHLO || st->leg->reply.len > 0 ||
	    (e->marks & MARK_AS_IS) != 0 ||
	    (!is_offered(st) && st->s->tls != SESSION_TLS_UP))
		return TLS_EHLO_AS_IS;
	memset(&reply, 0, sizeof(reply));
	switch (smtp_reply_read(&reply, bytes, len, &n)) {
	case SMTP_REPLY_MORE:
		if (len < SESSION_EHLO_CAP)
			return TLS_EHLO_WAIT;
		e->marks |= MARK_AS_IS;
		return TLS_EHLO_AS_IS;
	case SMTP_REPLY_LOST:
		return TLS_EHLO_AS_IS;
	case SMTP_REPLY_DONE:
		break;
	}
	if (reply.code != 250 || n > SESSION_EHLO_CAP)
		return TLS_EHLO_AS_IS;
	read_lines(&ehlo, bytes, n);
	if (ehlo.keyword.len == 0 && is_offered(st) && !st->site->mta_tls)
		add_keyword(st, &ehlo, bytes, at);
	if (ehlo.keyword.len > 0 && st->s->tls == SESSION_TLS_UP &&
	    !st->s->is_mta_tls)
		remove_keyword(st, &ehlo, at);
	return TLS_EHLO_AS_IS;
}

uint32_t
tls_growth(const struct orders *o)
{
	uint32_t growth = 0; /* below 0 it wraps, and wraps back when added */
	unsigned i;

	for (i = 0; i < o->edits_count; i++)
		growth += (uint32_t)o->edits[i].len - o->edits[i].cut;
	return growth;
}

uint32_t
tls_gather_end(const struct step *st)
{
	if (!st->leg->is_gathered)
		return UINT32_MAX;
	return st->leg->said_ms + st->s->plan.patience_ms;
}
