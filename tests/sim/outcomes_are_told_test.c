/* What became of the mail is counted by class, and each message's end is told
 * once, with the queue id in the MTA's own words. */
#include <string.h>

#include "tests/sim/scenario.h"

static struct session_message told[16];
static unsigned told_count;

static void
keep(struct world *w)
{
	for (unsigned i = 0; i < w->o.messages_count; i++) {
		assert_in_range(told_count, 0, 15);
		told[told_count++] = w->o.messages[i];
	}
}

static void
begin(void)
{
	scene_open((struct plan){.greet_ms = 0});
	scene.on_step = keep;
	told_count = 0;
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

static unsigned
counted(enum outcome what)
{
	return scene.s.counts.outcomes[what];
}

static void
mail_to_two(void)
{
	ask("MAIL FROM:<a>\r\n", "250 2.1.0 Ok\r\n");
	ask("RCPT TO:<b>\r\n", "250 2.1.5 Ok\r\n");
	ask("RCPT TO:<c>\r\n", "250 2.1.5 Ok\r\n");
	ask("DATA\r\n", "354 go\r\n");
}

static void
delivered_with_queue_id(void **state)
{
	(void)state;
	begin();
	mail_to_two();
	assert_int_equal(told_count, 0);
	ask("x\r\n.\r\n", "250 2.0.0 Ok: queued as 4cXk2w\r\n");
	assert_int_equal(told_count, 1);
	assert_string_equal(told[0].queue_id, "4cXk2w");
	assert_int_equal(told[0].outcome, OUTCOME_DELIVERED);
	assert_int_equal(told[0].number, 1);
	assert_int_equal(told[0].recipients, 2);
	assert_int_equal(told[0].code, 250);
	assert_int_equal(counted(OUTCOME_DELIVERED), 2);
	mail_to_two();
	ask("x\r\n.\r\n", "554 5.7.1 Spam message rejected\r\n");
	assert_int_equal(told_count, 2);
	assert_string_equal(told[1].queue_id, "");
	assert_int_equal(told[1].outcome, OUTCOME_SPAM);
	assert_int_equal(told[1].number, 2);
	assert_int_equal(told[1].recipients, 0);
	assert_int_equal(counted(OUTCOME_SPAM), 1);
	assert_int_equal(counted(OUTCOME_DELIVERED), 2);
}

/* A chunk that is not the last is no message yet. */
static void
chunks_are_one_message(void **state)
{
	(void)state;
	begin();
	ask("MAIL FROM:<a>\r\n", "250 Ok\r\n");
	ask("RCPT TO:<b>\r\n", "250 Ok\r\n");
	ask("BDAT 3\r\nx\r\n", "250 3 bytes\r\n");
	assert_int_equal(told_count, 0);
	ask("BDAT 0 LAST\r\n", "250 OK id=1tEaBC-0000Ab-2x\r\n");
	assert_int_equal(told_count, 1);
	assert_string_equal(told[0].queue_id, "1tEaBC-0000Ab-2x");
	assert_int_equal(counted(OUTCOME_DELIVERED), 1);
}

/* The status is known of a reply in pieces; its id is not, nor a wrong one. */
static void
replies_in_pieces(void **state)
{
	static const char reply[] = "250-2.0.0 Ok: queued as NOT\r\n"
				    "250 2.0.0 Ok: queued as 4cXk2w\r\n";

	(void)state;
	for (size_t at = 1; at < sizeof reply - 1; at++) {
		begin();
		mail_to_two();
		scene_client("x\r\n.\r\n");
		world_says(&scene, SIDE_MTA, reply, at);
		world_says(&scene, SIDE_MTA, reply + at, sizeof reply - 1 - at);
		assert_int_equal(told_count, 1);
		assert_string_equal(told[0].queue_id, at < 29 ? "4cXk2w" : "");
		assert_int_equal(counted(OUTCOME_DELIVERED), 2);
	}
	for (size_t at = 1; at < 20; at++) {
		static const char no[] = "550 5.1.1 <x@y> unknown\r\n";

		begin();
		ask("MAIL FROM:<a>\r\n", "250 Ok\r\n");
		scene_client("RCPT TO:<x@y>\r\n");
		world_says(&scene, SIDE_MTA, no, at);
		world_says(&scene, SIDE_MTA, no + at, sizeof no - 1 - at);
		assert_int_equal(counted(OUTCOME_UNKNOWN_USER), 1);
	}
}

/* PRDR: each recipient has an answer of its own, the last is for all. */
static void
recipients_of_their_own(void **state)
{
	(void)state;
	begin();
	mail_to_two();
	scene_client("x\r\n.\r\n");
	scene_mta("353 PRDR follows\r\n");
	scene_mta("250 first\r\n550 5.7.1 spam to the second\r\n");
	assert_int_equal(told_count, 0);
	scene_mta("250 OK id=1tEaBC-0000Ab-2x\r\n");
	assert_int_equal(told_count, 1);
	assert_int_equal(counted(OUTCOME_DELIVERED), 1);
	assert_int_equal(counted(OUTCOME_SPAM), 1);
	mail_to_two();
	ask("x\r\n.\r\n", "250 OK id=1tEaBC-0000Ab-2y\r\n");
	assert_int_equal(counted(OUTCOME_DELIVERED), 3);
}

/* The last reply of PRDR has the last word on those whom others accepted. */
static void
the_last_is_for_the_accepted(void **state)
{
	(void)state;
	begin();
	mail_to_two();
	scene_client("x\r\n.\r\n");
	scene_mta("353 PRDR follows\r\n250 first\r\n250 second\r\n"
		  "554 5.7.1 spam\r\n");
	assert_int_equal(counted(OUTCOME_DELIVERED), 0);
	assert_int_equal(counted(OUTCOME_SPAM), 1);
	mail_to_two();
	scene_client("x\r\n.\r\n");
	scene_mta("353 PRDR follows\r\n554 5.7.1 spam\r\n"
		  "554 5.7.1 spam\r\n554 5.7.1 spam to all\r\n");
	assert_int_equal(counted(OUTCOME_DELIVERED), 0);
	assert_int_equal(counted(OUTCOME_SPAM), 3);
	assert_int_equal(told_count, 2);
}

/* All were refused: what follows says nothing new. */
static void
nobody_was_accepted(void **state)
{
	(void)state;
	begin();
	ask("MAIL FROM:<a>\r\n", "250 Ok\r\n");
	scene_client("RCPT TO:<b>\r\nDATA\r\n");
	scene_mta("550 5.1.1 unknown\r\n554 5.5.1 no valid recipients\r\n");
	assert_int_equal(counted(OUTCOME_UNKNOWN_USER), 1);
	assert_int_equal(counted(OUTCOME_PROTOCOL), 0);
	assert_int_equal(told_count, 0);
}

/* More ends of messages at once than a step can tell of. */
static void
many_at_once(void **state)
{
	(void)state;
	begin();
	ask("MAIL FROM:<a>\r\n", "250 Ok\r\n");
	ask("RCPT TO:<b>\r\n", "250 Ok\r\n");
	for (unsigned i = 0; i < 9; i++)
		scene_client("BDAT 0 LAST\r\n");
	scene_mta("250 OK id=1-a\r\n250 OK id=1-b\r\n250 OK id=1-c\r\n"
		  "250 OK id=1-d\r\n250 OK id=1-e\r\n250 OK id=1-f\r\n"
		  "250 OK id=1-g\r\n250 OK id=1-h\r\n250 OK id=1-i\r\n");
	assert_int_equal(told_count, 9);
	assert_string_equal(told[8].queue_id, "1-i");
}

static void
logins(void **state)
{
	(void)state;
	begin();
	ask("EHLO a\r\n", "250 a\r\n");
	ask("AUTH LOGIN\r\n", "334 VXNlcg==\r\n");
	ask("AAAA\r\n", "334 UGFzcw==\r\n");
	ask("BBBB\r\n", "535 5.7.8 Error: authentication failed\r\n");
	ask("AUTH PLAIN CCCC\r\n", "535 no\r\n");
	assert_int_equal(counted(OUTCOME_AUTH_FAILURE), 2);
}

SCENES(cmocka_unit_test(delivered_with_queue_id),
       cmocka_unit_test(chunks_are_one_message),
       cmocka_unit_test(replies_in_pieces),
       cmocka_unit_test(recipients_of_their_own),
       cmocka_unit_test(the_last_is_for_the_accepted),
       cmocka_unit_test(nobody_was_accepted), cmocka_unit_test(many_at_once),
       cmocka_unit_test(logins))
