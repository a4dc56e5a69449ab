/* What is counted of a session: for its log line, the metrics, the rules that
 * look at a session's course; and when such a rule is asked again. */
#include <string.h>

#include "tests/sim/scenario.h"

static void
open_relay(struct plan plan)
{
	scene_open(plan);
	scene_connect();
	scene_mta("220 real\r\n");
}

/* One command and its answer. */
static void
ask(const char *command, const char *reply)
{
	scene_client(command);
	scene_mta(reply);
}

static void
unknown_users_are_refused_recipients(void **state)
{
	const struct session_counts *c = &scene.s.counts;

	(void)state;
	open_relay((struct plan){.greet_ms = 0});
	ask("MAIL FROM:<a>\r\n", "550 5.1.1 no such sender\r\n");
	assert_int_equal(c->outcomes[OUTCOME_UNKNOWN_USER], 0);
	assert_int_equal(c->errors, 1);
	ask("MAIL FROM:<b>\r\n", "250 b\r\n");
	ask("RCPT TO:<a>\r\n", "550 5.1.1 no such user\r\n");
	ask("RCPT TO:<b>\r\n", "550 5.7.1 not for you\r\n");
	ask("RCPT TO:<c>\r\n", "451 4.7.1 later\r\n");
	ask("RCPT TO:<d>\r\n", "250 2.1.5 fine\r\n");
	assert_int_equal(c->outcomes[OUTCOME_UNKNOWN_USER], 1);
	assert_int_equal(c->recipients_refused, 3);
	assert_int_equal(c->recipients, 1);
	assert_int_equal(c->errors, 4);
}

static void
rules_look_again_if_counts_matter(void **state)
{
	(void)state;
	open_relay((struct plan){.greet_ms = 0});
	ask("EHLO a\r\n", "250 a\r\n");
	assert_false(scene.wants_plan);
	scene_open((struct plan){.greet_ms = 0});
	scene.site.counts_matter = true;
	scene_connect();
	scene_mta("220 real\r\n");
	assert_false(scene.wants_plan);
	ask("EHLO a\r\n", "250 a\r\n");
	assert_true(scene.wants_plan);
}

static void
replies_that_waited_are_counted(void **state)
{
	(void)state;
	open_relay((struct plan){.reply_ms = 1000});
	ask("EHLO a\r\n", "250 a\r\n");
	scene_until(1000);
	assert_int_equal(scene.s.counts.replies_held, 1);
	ask("RSET\r\n", "250 r\r\n");
	assert_int_equal(scene.s.counts.replies_held, 1);
}

static void
the_wait_at_the_gate_is_counted(void **state)
{
	(void)state;
	scene_open((struct plan){.greet_ms = 3000});
	scene_until(7000);
	assert_int_equal(scene.s.counts.gate_ms, 0);
	scene_connect();
	assert_int_equal(scene.s.counts.gate_ms, 5000);
}

static void
our_own_words_are_counted(void **state)
{
	const struct session_counts *c = &scene.s.counts;

	(void)state;
	scene_open((struct plan){.greet_ms = 5000, .teaser = true});
	scene_until(2000);
	world_event(&scene, EVENT_GIVE_WAY, SIDE_CLIENT, NULL);
	scene_client_got(TEASER OWN_220);
	assert_true(c->own_greeting && scene.s.is_greeted);
	assert_int_equal(c->greet_ms, 2000);
	assert_false(c->own_421);
	scene_client("EHLO a\r\n");
	scene_client_got(OWN_421);
	assert_true(c->own_421);
}

/* A greet that is over does not go on in the books while the MTA is slow. */
static void
a_slow_mta_does_not_spend_the_budget(void **state)
{
	(void)state;
	scene_open((struct plan){
	    .greet_ms = 3000, .reply_ms = 2000, .session_cap_ms = 6000});
	scene_until(2000);
	scene_connect();
	scene_until(20000);
	scene_mta("220 real\r\n");
	scene_client_got("220 real\r\n");
	assert_int_equal(scene.s.counts.held_ms, 3000);
	ask("EHLO a\r\n", "250 a\r\n");
	scene_until(21999);
	scene_client_got("");
	scene_until(22000);
	scene_client_got("250 a\r\n");
	assert_int_equal(scene.s.counts.held_ms, 5000);
	assert_int_equal(scene.s.counts.longest_ms, 3000);
}

/* A wait ends with what was waited for; the longest one is kept. */
static void
the_longest_wait_is_kept(void **state)
{
	(void)state;
	open_relay((struct plan){
	    .reply_ms = 2000, .error_ms = 4000, .session_cap_ms = 60000});
	ask("EHLO a\r\n", "250 a\r\n");
	scene_until(2000);
	assert_int_equal(scene.s.counts.longest_ms, 2000);
	ask("MAIL FROM:<a>\r\n", "550 a\r\n");
	scene_until(6000);
	assert_int_equal(scene.s.counts.longest_ms, 4000);
	ask("HELP\r\n", "250 b\r\n");
	scene_until(8000);
	assert_int_equal(scene.s.counts.longest_ms, 4000);
	assert_int_equal(scene.s.counts.held_ms, 8000);
}

static void
prdr_counts_the_recipients_of_this_message(void **state)
{
	int i;

	(void)state;
	open_relay((struct plan){.greet_ms = 0});
	for (i = 0; i < 2; i++) {
		ask("MAIL FROM:<a> PRDR\r\n", "250 a\r\n");
		ask("RCPT TO:<b>\r\n", "250 b\r\n");
		ask("DATA\r\n", "354 go\r\n");
		ask("x\r\n.\r\n", "353 each\r\n250 b\r\n250 done\r\n");
		assert_int_equal(scene.s.counts.messages, i + 1);
		assert_int_equal(scene.leg->count, 0);
	}
}

static void
eight_commands_need_no_ring(void **state)
{
	int i;

	(void)state;
	scene_open((struct plan){.greet_ms = 0});
	scene.has_rings = false;
	scene_connect();
	scene_mta("220 real\r\n");
	for (i = 0; i < SESSION_REPLIES_FEW + 1; i++)
		scene_client("NOOP\r\n");
	assert_int_equal(scene.leg->count, SESSION_REPLIES_FEW);
	assert_int_equal(scene.out[SIDE_MTA].len, 6 * SESSION_REPLIES_FEW);
	scene_mta("250 n\r\n");
	assert_int_equal(scene.out[SIDE_MTA].len,
			 6 * (SESSION_REPLIES_FEW + 1));
}

SCENES(cmocka_unit_test(unknown_users_are_refused_recipients),
       cmocka_unit_test(rules_look_again_if_counts_matter),
       cmocka_unit_test(replies_that_waited_are_counted),
       cmocka_unit_test(the_wait_at_the_gate_is_counted),
       cmocka_unit_test(our_own_words_are_counted),
       cmocka_unit_test(a_slow_mta_does_not_spend_the_budget),
       cmocka_unit_test(the_longest_wait_is_kept),
       cmocka_unit_test(prdr_counts_the_recipients_of_this_message),
       cmocka_unit_test(eight_commands_need_no_ring))
