/*
 * The reader of label files, and the table they make.
 *
 * Not inih: values hold `:` and `,`, p0f's files hold keys outside sections,
 * and one bad line must not cost the rest of the file. A table is filled at
 * start or at a reload, and only read after that.
 */
#include "proxy/config/labels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tarry/dialect.h"
#include "tarry/wildcard.h"

#define MESSAGE_CAP 512
#define VALUE_SHOWN 100

/* Where a label stands, for messages. */
struct place {
	const char *path; /* owned by labels.strings */
	unsigned line;
};

/* A label of a way to speak. */
struct spoken {
	const char *name;
	const char *pattern;
	size_t literals; /* of its characters all but `*` */
	struct place place;
};

struct labels {
	struct spoken *spoken;
	size_t spoken_count;
	struct label *rows;
	struct place *places; /* as many as rows */
	size_t count;
	size_t cap;
	char **strings; /* names, paths and texts, freed with the table */
	size_t strings_count;
};

enum section { SECTION_NONE, SECTION_LABEL, SECTION_P0F, SECTION_SKIPPED };

/* One file while it is read. */
struct reader {
	struct labels *labels;
	struct place place;
	labels_report *report;
	void *user;
	enum section section;
	const char *name; /* NULL: no label, or a bad one */
	bool is_specific;
	bool is_scale_soft;
	int error;
};

static void
complain(const struct reader *r, const char *expected, const char *text)
{
	char message[MESSAGE_CAP];

	if (r->report == NULL)
		return;
	snprintf(message, sizeof(message), "%s:%u: %.*s: %s", r->place.path,
		 r->place.line, VALUE_SHOWN, text, expected);
	r->report(r->user, LABELS_ERROR, message);
}

/* A copy that lives as long as the table; NULL if memory is out. */
static const char *
keep(struct labels *l, const char *text)
{
	char **strings =
	    realloc(l->strings, (l->strings_count + 1) * sizeof(*l->strings));

	if (strings == NULL)
		return NULL;
	l->strings = strings;
	char *copy = strdup(text);
	if (copy != NULL)
		l->strings[l->strings_count++] = copy;
	return copy;
}

static int
labels_grow(struct labels *l)
{
	const size_t cap = l->cap == 0 ? 64 : l->cap * 2;

	if (l->count < l->cap)
		return 0;
	struct label *rows = realloc(l->rows, cap * sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	l->rows = rows;
	struct place *places = realloc(l->places, cap * sizeof(*places));
	if (places == NULL)
		return -ENOMEM;
	l->places = places;
	l->cap = cap;
	return 0;
}

static char *
trim(char *text)
{
	char *end = text + strlen(text);

	while (*text == ' ' || *text == '\t')
		text++;
	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	*end = '\0';
	return text;
}

/* Cuts a `;` comment that stands behind a blank. */
static void
cut_comment(char *text)
{
	for (char *at = strchr(text, ';'); at != NULL; at = strchr(at + 1, ';'))
		if (at == text || at[-1] == ' ' || at[-1] == '\t') {
			*at = '\0';
			return;
		}
}

static void
take_name(struct reader *r, const char *name)
{
	r->name = keep(r->labels, name);
	if (r->name == NULL)
		r->error = -ENOMEM;
}

static void
take_pattern(struct reader *r, enum signature_level level, const char *value)
{
	struct label label = {.name = r->name,
			      .specific = r->is_specific,
			      .wscale_soft = r->is_scale_soft};
	char expected[MESSAGE_CAP / 2];
	const char *error;
	size_t at;

	if (!signature_pattern_parse(&label.pattern, level, value,
				     strlen(value), &error, &at)) {
		snprintf(expected, sizeof(expected), "%s at byte %zu", error,
			 at + 1);
		complain(r, expected, value);
		return;
	}
	r->error = labels_grow(r->labels);
	if (r->error != 0)
		return;
	r->labels->rows[r->labels->count] = label;
	r->labels->places[r->labels->count++] = r->place;
}

static size_t
count_literals(const char *pattern)
{
	size_t count = 0;

	for (; *pattern != '\0'; pattern++)
		count += *pattern != '*';
	return count;
}

static void
take_dialect(struct reader *r, const char *value)
{
	struct labels *l = r->labels;
	struct spoken *rows;

	if (!dialect_is_pattern(value, strlen(value))) {
		complain(r,
			 "no dialect, expected a text such as "
			 "EHLO:*:mail.FROM<:*",
			 value);
		return;
	}
	r->error = -ENOMEM;
	rows = realloc(l->spoken, (l->spoken_count + 1) * sizeof(*rows));
	if (rows == NULL)
		return;
	l->spoken = rows;
	rows += l->spoken_count;
	*rows = (struct spoken){.name = r->name,
				.pattern = keep(l, value),
				.literals = count_literals(value),
				.place = r->place};
	if (rows->pattern == NULL)
		return;
	l->spoken_count++;
	r->error = 0;
}

/* Sets *flag if value is `on`, clears it if it is `off`. */
static void
take_flag(const struct reader *r, const char *value, const char *on,
	  const char *off, bool *flag)
{
	char expected[64];

	if (strcmp(value, on) == 0) {
		*flag = true;
	} else if (strcmp(value, off) == 0) {
		*flag = false;
	} else {
		snprintf(expected, sizeof(expected), "expected %s or %s", on,
			 off);
		complain(r, expected, value);
	}
}

/* A key of a [label NAME] section. */
static void
take_label_key(struct reader *r, const char *key, const char *value)
{
	static const struct {
		const char *key;
		enum signature_level level;
	} patterns[] = {{"syn", SIGNATURE_SYN},
			{"stack", SIGNATURE_STACK},
			{"family", SIGNATURE_FAMILY}};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (strcmp(key, patterns[i].key) == 0) {
			take_pattern(r, patterns[i].level, value);
			return;
		}
	if (strcmp(key, "dialect") == 0)
		take_dialect(r, value);
	else if (strcmp(key, "generic") == 0)
		take_flag(r, value, "no", "yes", &r->is_specific);
	else if (strcmp(key, "scale") == 0)
		take_flag(r, value, "soft", "exact", &r->is_scale_soft);
	else
		complain(r,
			 "expected syn, stack, family, dialect, generic or "
			 "scale",
			 key);
}

/* `s:unix:Linux:3.11 and newer` names "Linux 3.11 and newer". */
static void
take_p0f_label(struct reader *r, const char *value)
{
	char name[256];
	const char *class = strchr(value, ':');
	const char *system = class == NULL ? NULL : strchr(class + 1, ':');
	const char *flavor = system == NULL ? NULL : strchr(system + 1, ':');

	r->name = NULL;
	if (flavor == NULL || class != value + 1 ||
	    (value[0] != 's' && value[0] != 'g')) {
		complain(r, "expected s or g:class:name:flavor", value);
		return;
	}
	r->is_specific = value[0] == 's';
	snprintf(name, sizeof(name), "%.*s%s%s", (int)(flavor - system - 1),
		 system + 1, flavor[1] == '\0' ? "" : " ", flavor + 1);
	take_name(r, name);
}

/* A key of p0f's [tcp:request]. */
static void
take_p0f_key(struct reader *r, const char *key, const char *value)
{
	if (strcmp(key, "label") == 0)
		take_p0f_label(r, value);
	else if (strcmp(key, "sig") != 0 && strcmp(key, "sys") != 0)
		complain(r, "expected label, sys or sig", key);
	else if (strcmp(key, "sig") == 0 && r->name == NULL)
		complain(r, "expected a good label before it", value);
	else if (strcmp(key, "sig") == 0)
		take_pattern(r, SIGNATURE_SYN, value);
}

static bool
is_p0f_section(const char *name)
{
	static const char *const names[] = {"mtu", "tcp:response",
					    "http:request", "http:response"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* `text` starts behind the bracket. */
static void
take_section(struct reader *r, char *text)
{
	char *end = strrchr(text, ']');

	r->section = SECTION_SKIPPED;
	r->name = NULL;
	r->is_specific = true;
	r->is_scale_soft = false;
	if (end == NULL || end[1] != '\0') {
		complain(r, "expected [label NAME]", text);
		return;
	}
	*end = '\0';
	if (strncmp(text, "label ", 6) == 0 && *trim(text + 6) != '\0') {
		r->section = SECTION_LABEL;
		take_name(r, trim(text + 6));
	} else if (strcmp(text, "tcp:request") == 0) {
		r->section = SECTION_P0F;
	} else if (!is_p0f_section(text)) {
		complain(r,
			 "expected [label NAME] or a section of p0f's; "
			 "skipped up to the next section",
			 text);
	}
}

static void
take_key(struct reader *r, const char *key, const char *value)
{
	switch (r->section) {
	case SECTION_LABEL:
		take_label_key(r, key, value);
		break;
	case SECTION_P0F:
		take_p0f_key(r, key, value);
		break;
	case SECTION_NONE:
		if (strcmp(key, "classes") != 0)
			complain(r, "expected a section before it", key);
		break;
	case SECTION_SKIPPED:
		break;
	}
}

static void
take_line(struct reader *r, char *line)
{
	char *text = trim(line);

	if (*text == '#')
		return;
	cut_comment(text);
	text = trim(text);
	if (*text == '\0')
		return;
	if (*text == '[') {
		take_section(r, text + 1);
		return;
	}
	if (r->section == SECTION_SKIPPED)
		return;
	char *equals = strchr(text, '=');
	if (equals == NULL) {
		complain(r, "expected name = value", text);
		return;
	}
	*equals = '\0';
	take_key(r, trim(text), trim(equals + 1));
}

static int
read_lines(struct reader *r, FILE *file)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	errno = 0;
	while (r->error == 0 && (len = getline(&line, &cap, file)) >= 0) {
		r->place.line++;
		if (strlen(line) == (size_t)len)
			take_line(r, line);
		else
			complain(r, "expected text without NUL bytes", line);
	}
	if (r->error == 0 && !feof(file))
		r->error = errno != 0 ? -errno : -EIO;
	free(line);
	return r->error;
}

struct labels *
labels_new(void)
{
	return calloc(1, sizeof(struct labels));
}

void
labels_free(struct labels *labels)
{
	if (labels == NULL)
		return;
	for (size_t i = 0; i < labels->strings_count; i++)
		free(labels->strings[i]);
	free(labels->strings);
	free(labels->places);
	free(labels->spoken);
	free(labels->rows);
	free(labels);
}

bool
labels_has(const struct labels *labels, const char *name)
{
	for (size_t i = 0; labels != NULL && i < labels->count; i++) {
		if (strcasecmp(labels->rows[i].name, name) == 0)
			return true;
	}
	return false;
}

size_t
labels_count(const struct labels *labels)
{
	return labels->count + labels->spoken_count;
}

int
labels_load(struct labels *labels, const char *path, labels_report *report,
	    void *user)
{
	const size_t before = labels_count(labels);
	struct reader r = {.labels = labels,
			   .report = report,
			   .user = user,
			   .is_specific = true};

	r.place.path = keep(labels, path);
	if (r.place.path == NULL)
		return -ENOMEM;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return -errno;
	const int error = read_lines(&r, file);
	fclose(file);
	return error != 0 ? error : (int)(labels_count(labels) - before);
}

/* True if line i can never win against line j. */
static bool
is_shadowed_by(const struct labels *l, size_t i, size_t j)
{
	const struct label *a = &l->rows[i];
	const struct label *b = &l->rows[j];
	const bool is_family = a->pattern.level == SIGNATURE_FAMILY;

	if (is_family != (b->pattern.level == SIGNATURE_FAMILY) ||
	    (a->wscale_soft && !b->wscale_soft &&
	     b->pattern.wscale.kind != PATTERN_ANY) ||
	    !signature_pattern_covers(&b->pattern, &a->pattern))
		return false;
	const int more = label_specificity(b) - label_specificity(a);
	if (more != 0)
		return more > 0;
	return a->specific == b->specific ? j > i : b->specific;
}

/* The label `name`, because of `other`. */
struct shadow {
	const struct place *place;
	const char *name;
	const struct place *other_place;
	const char *other;
};

static void
warn_shadowed(const struct shadow *s, labels_report *report, void *user)
{
	char message[MESSAGE_CAP];

	snprintf(message, sizeof(message),
		 "%s:%u: label \"%s\" never wins here, \"%s\" of %s:%u matches "
		 "all that it does",
		 s->place->path, s->place->line, s->name, s->other,
		 s->other_place->path, s->other_place->line);
	if (report != NULL)
		report(user, LABELS_WARNING, message);
}

/* Among dialects only the same pattern said again takes all of one. */
static size_t
check_spoken(const struct labels *l, labels_report *report, void *user)
{
	size_t count = 0;

	for (size_t i = 0; i < l->spoken_count; i++)
		for (size_t j = i + 1; j < l->spoken_count; j++) {
			const struct spoken *a = &l->spoken[i];
			const struct spoken *b = &l->spoken[j];

			if (strcmp(a->pattern, b->pattern) != 0)
				continue;
			warn_shadowed(&(struct shadow){&a->place, a->name,
						       &b->place, b->name},
				      report, user);
			count++;
			break;
		}
	return count;
}

size_t
labels_check(const struct labels *labels, labels_report *report, void *user)
{
	size_t count = 0;

	for (size_t i = 0; i < labels->count; i++)
		for (size_t j = 0; j < labels->count; j++)
			if (i != j && is_shadowed_by(labels, i, j)) {
				warn_shadowed(
				    &(struct shadow){&labels->places[i],
						     labels->rows[i].name,
						     &labels->places[j],
						     labels->rows[j].name},
				    report, user);
				count++;
				break;
			}
	return count + check_spoken(labels, report, user);
}

const char *
labels_dialect(const struct labels *labels, const char *text)
{
	const struct spoken *best = NULL;

	for (size_t i = 0; i < labels->spoken_count; i++) {
		const struct spoken *one = &labels->spoken[i];

		if ((best == NULL || one->literals >= best->literals) &&
		    wildcard_match(one->pattern, text))
			best = one;
	}
	return best != NULL ? best->name : NULL;
}

const char *
labels_find(const struct labels *labels, const struct syn *s,
	    enum label_quality *quality)
{
	const int i = label_find(labels->rows, labels->count, s, quality);

	return i < 0 ? NULL : labels->rows[i].name;
}
