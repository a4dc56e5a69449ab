/*
 * The dialect: a few bits a command, and one text of them.
 *
 * A hash would be as long and could not be read, nor matched with wildcards.
 * How many segments a group came in is left out, and how long the client
 * thought: that is the network's doing as much as the client's, and a dialect
 * has to be the same each time.
 *
 * A line is read byte by byte into what is asked of any of its kinds, since
 * its verb may be known before its parameters have come, and nothing of it is
 * stored.
 */
#include "tarry/dialect.h"

#include <string.h>

enum letters { LETTERS_NONE, LETTERS_UPPER, LETTERS_LOWER, LETTERS_MIXED };

/* In dialect_line.letters. */
enum letters_of { OF_VERB = 0, OF_KEYWORD = 2, OF_PARAM = 4 };

enum place {
	PLACE_VERB,
	PLACE_GAP,     /* blanks behind the verb */
	PLACE_WORD,    /* the argument, up to a colon or blank */
	PLACE_REST,    /* behind that */
	PLACE_COLON,   /* blanks behind the colon */
	PLACE_ADDRESS, /* within < and > */
	PLACE_QUOTED,  /* within " and " in it */
	PLACE_BARE,    /* an address without < */
	PLACE_PARAMS,  /* blanks between parameters */
	PLACE_PARAM,
	PLACE_VALUE /* of it, behind = */
};

enum name {
	NAME_UNSEEN,
	NAME_FQDN,
	NAME_LABEL,
	NAME_LOCALHOST,
	NAME_IP,
	NAME_IP4,
	NAME_IP6,
	NAME_NONE,
	NAME_ODD
};

static const char *const names[] = {"-",   "fqdn", "label", "localhost", "ip",
				    "ip4", "ip6",  "none",  "odd"};

/* What an argument is made of: bits of dialect_line.name. */
enum made_of {
	HAS_ANY = 1,
	HAS_LETTER = 2,
	HAS_ODD = 4,
	HAS_COLON = 8,
	HAS_DOT = 16,	   /* with something behind it */
	HAS_LAST_DOT = 32, /* the last byte so far */
	HAS_OPEN = 64,	   /* it begins with [ */
	HAS_CLOSE = 128	   /* it ends with ] */
};

static const char localhost[] = "LOCALHOST";
#define NOT_LOCALHOST 255

static const char *const params[] = {
    NULL,    "SIZE", "BODY",   "SMTPUTF8", "AUTH",	 "RET",
    "ENVID", "PRDR", "NOTIFY", "ORCPT",	   "REQUIRETLS", "MT-PRIORITY"};

#define PARAMS_COUNT (sizeof params / sizeof params[0])
#define PARAM_OTHER 63u
#define PARAM_CASE 6 /* shift */

/* FNV-1a. Two parameters of one hash would only share a name. */
#define HASH_BEGIN 2166136261u
#define HASH_PRIME 16777619u

static char
upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
}

static bool
is_letter(char c)
{
	return upper(c) >= 'A' && upper(c) <= 'Z';
}

static void
note_letter(struct dialect_line *l, enum letters_of of, char c)
{
	if (is_letter(c))
		l->letters |=
		    (uint8_t)((c == upper(c) ? LETTERS_UPPER : LETTERS_LOWER)
			      << of);
}

/* A word without letters is nobody's habit: as if of capitals. */
static enum letters
letters_of(const struct dialect_line *l, enum letters_of of)
{
	enum letters letters = (enum letters)(l->letters >> of & 3);

	return letters == LETTERS_NONE ? LETTERS_UPPER : letters;
}

static uint32_t
hash_step(uint32_t hash, char c)
{
	return (hash ^ (uint8_t)upper(c)) * HASH_PRIME;
}

static uint32_t
hash_of(const char *word)
{
	uint32_t hash = HASH_BEGIN;

	for (; *word != '\0'; word++)
		hash = hash_step(hash, *word);
	return hash;
}

static void
note_name(struct dialect_line *l, char c)
{
	unsigned made = l->name & ~(unsigned)(HAS_CLOSE | HAS_LAST_DOT);

	if ((made & HAS_ANY) == 0 && c == '[')
		made |= HAS_OPEN;
	if ((l->name & HAS_LAST_DOT) != 0)
		made |= HAS_DOT;
	made |= HAS_ANY;
	if (is_letter(c))
		made |= HAS_LETTER;
	else if (c == '.')
		made |= HAS_LAST_DOT;
	else if (c == ':')
		made |= HAS_COLON;
	else if (c == ']')
		made |= HAS_CLOSE;
	else if ((c < '0' || c > '9') && c != '-' && c != '[')
		made |= HAS_ODD;
	l->name = (uint8_t)made;
	if (l->localhost < sizeof localhost - 1 &&
	    upper(c) == localhost[l->localhost])
		l->localhost++;
	else
		l->localhost = NOT_LOCALHOST;
}

static enum name
name_of(const struct dialect_line *l)
{
	unsigned made = l->name;

	if ((made & HAS_ANY) == 0)
		return NAME_NONE;
	if ((made & HAS_ODD) != 0)
		return NAME_ODD;
	if ((made & HAS_OPEN) != 0 && (made & HAS_CLOSE) != 0)
		return (made & HAS_COLON) != 0 ? NAME_IP6 : NAME_IP4;
	if ((made & (HAS_OPEN | HAS_CLOSE | HAS_COLON)) != 0)
		return NAME_ODD;
	if (l->localhost == sizeof localhost - 1)
		return NAME_LOCALHOST;
	if ((made & HAS_DOT) == 0)
		return NAME_LABEL;
	return (made & HAS_LETTER) != 0 ? NAME_FQDN : NAME_IP;
}

/* A parameter's name is over. */
static void
end_param(struct dialect_line *l)
{
	unsigned which = PARAM_OTHER;

	if (l->params_count < DIALECT_PARAMS) {
		for (unsigned i = 1; i < PARAMS_COUNT; i++) {
			if (l->word == hash_of(params[i]))
				which = i;
		}
		l->params[l->params_count++] =
		    (uint8_t)(which | (unsigned)letters_of(l, OF_PARAM)
					  << PARAM_CASE);
	}
	l->word = HASH_BEGIN;
	l->letters &= (uint8_t) ~(3u << OF_PARAM);
}

static enum place
at_blank(struct dialect_line *l)
{
	enum place place = (enum place)l->place;

	switch (place) {
	case PLACE_VERB:
	case PLACE_GAP:
		return PLACE_GAP;
	case PLACE_WORD:
	case PLACE_REST:
		return PLACE_REST;
	case PLACE_COLON:
		l->has_blank = true;
		return PLACE_COLON;
	case PLACE_ADDRESS:
	case PLACE_QUOTED:
		return place;
	case PLACE_PARAM:
		end_param(l);
		return PLACE_PARAMS;
	case PLACE_BARE:
	case PLACE_PARAMS:
	case PLACE_VALUE:
		break;
	}
	return PLACE_PARAMS;
}

static enum place
behind_colon(struct dialect_line *l, char c)
{
	l->has_bracket = c == '<';
	l->word = HASH_BEGIN;
	return c == '<' ? PLACE_ADDRESS : PLACE_BARE;
}

static enum place
in_address(enum place place, char c)
{
	if (c == '"')
		return place == PLACE_QUOTED ? PLACE_ADDRESS : PLACE_QUOTED;
	return c == '>' && place == PLACE_ADDRESS ? PLACE_PARAMS : place;
}

static enum place
in_param(struct dialect_line *l, char c)
{
	if (c == '=') {
		end_param(l);
		return PLACE_VALUE;
	}
	note_letter(l, OF_PARAM, c);
	l->word = hash_step(l->word, c);
	return PLACE_PARAM;
}

/* Any other byte than a blank. */
static enum place
at_text(struct dialect_line *l, char c)
{
	enum place place = (enum place)l->place;

	switch (place) {
	case PLACE_VERB:
		note_letter(l, OF_VERB, c);
		break;
	case PLACE_GAP:
	case PLACE_WORD:
		note_name(l, c);
		if (c != ':')
			note_letter(l, OF_KEYWORD, c);
		l->has_colon |= c == ':';
		/* [IPv6:..] goes on as a name; no path begins so. */
		return c == ':' && (l->name & HAS_OPEN) == 0 ? PLACE_COLON
							     : PLACE_WORD;
	case PLACE_REST:
		l->has_colon |= c == ':';
		return c == ':' ? PLACE_COLON : PLACE_REST;
	case PLACE_COLON:
		return behind_colon(l, c);
	case PLACE_ADDRESS:
	case PLACE_QUOTED:
		return in_address(place, c);
	case PLACE_PARAMS:
	case PLACE_PARAM:
		return in_param(l, c);
	case PLACE_BARE:
	case PLACE_VALUE:
		break;
	}
	return place;
}

void
dialect_read(struct dialect_line *line, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = (char)bytes[i];

		if (c == '\n')
			continue;
		line->is_cr = c == '\r';
		if (c == '\r')
			continue;
		line->is_blank = c == ' ' || c == '\t';
		line->place = (uint8_t)(line->is_blank ? at_blank(line)
						       : at_text(line, c));
	}
}

static void
take_hello(struct dialect *d, const struct dialect_line *line,
	   enum smtp_verb verb)
{
	enum letters letters = letters_of(line, OF_VERB);

	if (verb == SMTP_EHLO && d->ehlo == LETTERS_NONE)
		d->ehlo = (uint8_t)letters & 3u;
	if (verb == SMTP_HELO && d->helo == LETTERS_NONE)
		d->helo = (uint8_t)letters & 3u;
	if (d->name == NAME_UNSEEN)
		d->name = (uint8_t)name_of(line) & 15u;
}

static void
take_path(struct dialect_path *p, const struct dialect_line *line)
{
	if (p->verb != LETTERS_NONE)
		return;
	p->verb = (uint8_t)letters_of(line, OF_VERB) & 3u;
	if (line->has_colon)
		p->keyword = (uint8_t)letters_of(line, OF_KEYWORD) & 3u;
	p->has_blank = line->has_blank;
	p->has_bracket = line->has_bracket;
	p->has_end_blank = line->is_blank;
	memcpy(p->params, line->params, sizeof p->params);
}

static void
take_data(struct dialect *d, enum letters letters, enum smtp_verb verb,
	  enum dialect_group group)
{
	if (d->data_group != DIALECT_UNSEEN)
		return;
	d->data_group = group & 3u;
	if (verb == SMTP_DATA)
		d->data = (uint8_t)letters & 3u;
	else
		d->bdat = (uint8_t)letters & 3u;
}

static void
take(struct dialect *d, const struct dialect_line *line, enum smtp_verb verb,
     enum dialect_group group)
{
	enum letters letters = letters_of(line, OF_VERB);

	if (verb == SMTP_EHLO || verb == SMTP_HELO)
		take_hello(d, line, verb);
	if (verb == SMTP_MAIL && d->mail_group == DIALECT_UNSEEN)
		d->mail_group = group & 3u;
	if (verb == SMTP_MAIL)
		take_path(&d->mail, line);
	if (verb == SMTP_RCPT && d->rcpt_group == DIALECT_UNSEEN)
		d->rcpt_group = group & 3u;
	if (verb == SMTP_RCPT)
		take_path(&d->rcpt, line);
	if (verb == SMTP_DATA || verb == SMTP_BDAT)
		take_data(d, letters, verb, group);
	if (verb == SMTP_RSET && d->rset == LETTERS_NONE)
		d->rset = (uint8_t)letters & 3u;
	if (verb == SMTP_QUIT && d->quit == LETTERS_NONE) {
		d->quit_group = group & 3u;
		d->quit = (uint8_t)letters & 3u;
	}
	d->has_crlf |= line->is_cr;
	d->has_lf |= !line->is_cr;
}

bool
dialect_command(struct dialect *d, struct dialect_line *line,
		enum smtp_verb verb, enum dialect_group group)
{
	struct dialect before;

	memcpy(&before, d, sizeof before);
	if (line->place == PLACE_PARAM)
		end_param(line);
	take(d, line, verb, group);
	memset(line, 0, sizeof *line);
	return memcmp(&before, d, sizeof before) != 0;
}

bool
dialect_fin(struct dialect *d)
{
	if (d->quit != LETTERS_NONE || d->is_fin)
		return false;
	d->is_fin = true;
	return true;
}

/* The text under way; there is always room, see DIALECT_TEXT_CAP. */
struct out {
	char *text;
	size_t len;
};

static void
put(struct out *o, const char *word)
{
	size_t n = strlen(word);

	if (o->len + n >= DIALECT_TEXT_CAP)
		return;
	memcpy(o->text + o->len, word, n);
	o->len += n;
	o->text[o->len] = '\0';
}

/* A word of capitals, in the case that was used. */
static void
put_word(struct out *o, const char *word, unsigned letters)
{
	for (size_t i = 0; word[i] != '\0'; i++) {
		char c[2] = {word[i], '\0'};

		if ((letters == LETTERS_LOWER ||
		     (letters == LETTERS_MIXED && i > 0)) &&
		    c[0] >= 'A' && c[0] <= 'Z')
			c[0] = (char)(c[0] + ('a' - 'A'));
		put(o, c);
	}
}

static void
put_path(struct out *o, const struct dialect_path *p, const char *verb,
	 const char *keyword)
{
	put(o, ":");
	if (p->verb == LETTERS_NONE) {
		put(o, "-");
		return;
	}
	put_word(o, verb, p->verb);
	if (p->keyword != LETTERS_NONE) {
		put(o, ".");
		put_word(o, keyword, p->keyword);
	}
	put(o, p->has_blank ? "_" : "");
	put(o, p->has_bracket ? "<" : "");
	put(o, p->has_end_blank ? "_" : "");
}

static void
put_params(struct out *o, const struct dialect_path *p)
{
	put(o, ":");
	if (p->verb == LETTERS_NONE)
		put(o, "-");
	else if (p->params[0] == 0)
		put(o, "none");
	for (size_t i = 0; i < DIALECT_PARAMS && p->params[i] != 0; i++) {
		unsigned which = p->params[i] & PARAM_OTHER;

		put(o, i > 0 ? "+" : "");
		if (which == PARAM_OTHER)
			put(o, "x");
		else
			put_word(o, params[which], p->params[i] >> PARAM_CASE);
	}
}

static void
put_group(struct out *o, unsigned group, const char *letter)
{
	if (group == DIALECT_UNSEEN)
		put(o, "-");
	else
		put(o, group == DIALECT_GROUPED ? letter : "w");
}

/*
 * Who does not wait with DATA may say RCPT in a segment of its own, and then
 * it is up to the network whether MAIL is answered by then.
 */
static unsigned
rcpt_group(const struct dialect *d)
{
	if (d->rcpt_group == DIALECT_WAITED && d->data_group == DIALECT_GROUPED)
		return DIALECT_GROUPED;
	return d->rcpt_group;
}

static void
put_hello(struct out *o, const struct dialect *d)
{
	if (d->ehlo != LETTERS_NONE)
		put_word(o, "EHLO", d->ehlo);
	if (d->ehlo != LETTERS_NONE && d->helo != LETTERS_NONE)
		put(o, "+");
	if (d->helo != LETTERS_NONE)
		put_word(o, "HELO", d->helo);
	if (d->ehlo == LETTERS_NONE && d->helo == LETTERS_NONE)
		put(o, "-");
	put(o, ":");
	put(o, names[d->name]);
}

static void
put_end(struct out *o, const struct dialect *d)
{
	put(o, ":");
	if (d->data != LETTERS_NONE)
		put_word(o, "DATA", d->data);
	else if (d->bdat != LETTERS_NONE)
		put_word(o, "BDAT", d->bdat);
	else
		put(o, "-");
	put(o, ":");
	if (d->quit != LETTERS_NONE)
		put_word(o, "QUIT", d->quit);
	else
		put(o, d->is_fin ? "fin" : "-");
	put(o, ":");
	if (d->rset != LETTERS_NONE)
		put_word(o, "RSET", d->rset);
	else
		put(o, "-");
	if (d->has_crlf && d->has_lf)
		put(o, ":both");
	else if (d->has_crlf || d->has_lf)
		put(o, d->has_lf ? ":lf" : ":crlf");
	else
		put(o, ":-");
}

size_t
dialect_text(const struct dialect *d, char *text)
{
	static const struct dialect nothing;
	struct out o = {.text = text};

	text[0] = '\0';
	if (memcmp(d, &nothing, sizeof nothing) == 0)
		return 0;
	put_hello(&o, d);
	put_path(&o, &d->mail, "MAIL", "FROM");
	put_path(&o, &d->rcpt, "RCPT", "TO");
	put_params(&o, &d->mail);
	put_params(&o, &d->rcpt);
	put(&o, ":");
	put_group(&o, d->mail_group, "M");
	put_group(&o, rcpt_group(d), "R");
	put_group(&o, d->data_group, "D");
	put_group(&o, d->quit_group, "Q");
	put_end(&o, d);
	return o.len;
}

bool
dialect_is_pattern(const char *text, size_t len)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ:._<+-?*";

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0' || strchr(letters, text[i]) == NULL)
			return false;
	}
	return len > 0 && (memchr(text, ':', len) != NULL ||
			   memchr(text, '*', len) != NULL);
}
