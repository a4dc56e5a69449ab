/*
 * `tarryctl top`: top_screen.h on a terminal, again and again.
 */
#include <curses.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/ctl/top_screen.h"
#include "proxy/ctl/verbs.h"

#define LOOK_MS 2000
#define KEY_ESCAPE 27
#define KEYS "q quit   space now   up, down choose a session   r release it"

struct top {
	const struct ctl *ctl;
	struct top_facts facts;
	size_t chosen;	      /* of the sessions */
	json_int_t follows;   /* the one that a key chose; 0: none did */
	char said[TOP_WIDTH]; /* what came of the last key */
};

static void
put(int y, const char *line, int how)
{
	if (y >= LINES)
		return;
	(void)attrset(how);
	(void)mvaddnstr(y, 0, line, COLS);
	(void)attrset(A_NORMAL);
}

/* Rows [first, ..) of a table as far as `room` lines go; the next line. */
static int
draw_table(const json_t *rows, size_t first, int y, int room,
	   void (*make)(const json_t *, char *), size_t chosen)
{
	char line[TOP_WIDTH];

	make(NULL, line);
	put(y++, line, (int)A_BOLD);
	for (size_t i = first; i < json_array_size(rows) && room > 0; i++) {
		make(json_array_get(rows, i), line);
		put(y++, line, (int)(i == chosen ? A_REVERSE : A_NORMAL));
		room--;
	}
	return y;
}

static void
draw(struct top *t)
{
	const int room = LINES - TOP_HEAD - 2 * TOP_TABLE - 1;
	const int above = room / 3;
	const int below = room - above;
	const size_t count = json_array_size(t->facts.sessions);
	char line[TOP_WIDTH];
	size_t first;
	int y;

	if (t->chosen >= count)
		t->chosen = count > 0 ? count - 1 : 0;
	first = below > 0 && t->chosen >= (size_t)below
		    ? t->chosen - (size_t)below + 1
		    : 0;
	(void)erase();
	for (int i = 0; i < TOP_HEAD; i++) {
		top_head(&t->facts, (size_t)i, line);
		put(i, line, (int)(i == 0 ? A_BOLD : A_NORMAL));
	}
	y = draw_table(t->facts.signatures, 0, TOP_HEAD, above, top_signature,
		       SIZE_MAX);
	(void)draw_table(t->facts.sessions, first, y + 1, below, top_session,
			 t->chosen);
	put(LINES - 1, t->said[0] != '\0' ? t->said : KEYS, (int)A_DIM);
	(void)refresh();
}

static json_int_t
id_of(const struct top *t, size_t at)
{
	const json_t *row = json_array_get(t->facts.sessions, at);

	return json_integer_value(json_object_get(row, "id"));
}

static void
choose(struct top *t, size_t at)
{
	if (at >= json_array_size(t->facts.sessions))
		return;
	t->chosen = at;
	t->follows = id_of(t, at);
}

/* Others come and go above it: the one that was chosen stays so, and is
 * nobody else when `r` is typed. */
static void
follow(struct top *t)
{
	for (size_t i = 0; i < json_array_size(t->facts.sessions); i++) {
		if (t->follows != 0 && id_of(t, i) == t->follows)
			t->chosen = i;
	}
}

static void
ignore(void *ctx, const json_t *line)
{
	(void)ctx;
	(void)line;
}

static void
release(struct top *t)
{
	const struct ctl plain = {.socket = t->ctl->socket};
	const json_int_t id = id_of(t, t->chosen);
	enum ctl_exit status;
	char word[24];

	if (id == 0)
		return;
	(void)snprintf(word, sizeof(word), "%lld", (long long)id);
	status = asking(&plain, "release", word, ignore, NULL);
	(void)snprintf(t->said, sizeof(t->said), "session %s %s", word,
		       status == CTL_FINE ? "was released"
					  : "was not released: it has ended");
}

/* False: it is to end. */
static bool
take_key(struct top *t, int key)
{
	if (key != ERR)
		t->said[0] = '\0';
	if (key == 'q' || key == KEY_ESCAPE)
		return false;
	if (key == KEY_DOWN || key == 'j')
		choose(t, t->chosen + 1);
	if ((key == KEY_UP || key == 'k') && t->chosen > 0)
		choose(t, t->chosen - 1);
	if (key == 'r')
		release(t);
	return true;
}

/* Until a key ends it, *is_over, or tarryd does not answer. */
static enum ctl_exit
look(struct top *t, bool *is_over)
{
	enum ctl_exit status;
	int key = ' ';

	do {
		/* Each key but those that only move asks anew. */
		if (key == ERR || key == ' ' || key == 'r') {
			top_facts_free(&t->facts);
			status = top_ask(t->ctl, &t->facts);
			if (status != CTL_FINE)
				return status;
			follow(t);
		}
		draw(t);
		key = getch();
	} while (take_key(t, key));
	*is_over = true;
	return CTL_FINE;
}

/* What is said on standard error would be said across the screen. */
static int
hush(void)
{
	const int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	const int none = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (none >= 0) {
		(void)dup2(none, STDERR_FILENO);
		close(none);
	}
	return kept;
}

static void
speak(int kept)
{
	if (kept < 0)
		return;
	(void)dup2(kept, STDERR_FILENO);
	close(kept);
}

static enum ctl_exit
live(struct top *t)
{
	enum ctl_exit status;
	bool is_over = false;
	SCREEN *screen;
	int kept;

	do {
		screen = newterm(NULL, stdout, stdin);
		if (screen == NULL) {
			fprintf(stderr, "tarryctl: this terminal is not known "
					"(TERM); `top once` needs none\n");
			return CTL_USAGE;
		}
		kept = hush();
		(void)cbreak();
		(void)noecho();
		(void)keypad(stdscr, true);
		(void)curs_set(0);
		timeout(LOOK_MS);
		status = look(t, &is_over);
		(void)endwin();
		delscreen(screen);
		speak(kept);
		/* Once more, for its message. */
		if (!is_over) {
			top_facts_free(&t->facts);
			status = top_ask(t->ctl, &t->facts);
		}
	} while (!is_over && status == CTL_FINE);
	return status;
}

enum ctl_exit
verb_top(const struct ctl *ctl, int argc, char **argv)
{
	struct top top = {.ctl = ctl};
	const bool is_once = argc > 0 && strcmp(argv[0], "once") == 0;
	enum ctl_exit status;

	if (argc > 0 && !is_once) {
		fprintf(stderr, "tarryctl: top takes `once`, or nothing\n");
		return CTL_USAGE;
	}
	if (ctl->is_json) {
		fprintf(stderr, "tarryctl: top is for people; status, "
				"signatures and sessions take --json\n");
		return CTL_USAGE;
	}
	status = top_ask(ctl, &top.facts);
	if (status == CTL_FINE &&
	    (is_once || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)))
		top_print(&top.facts);
	else if (status == CTL_FINE)
		status = live(&top);
	top_facts_free(&top.facts);
	return status;
}
