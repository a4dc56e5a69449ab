/*
 * Short scenes in simulated time: say, wait, expect. Each test file beside
 * this one is one behaviour, named for it.
 */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/simulate/world.h"

#define SCENE_NAME "mx.example.org"
#define TEASER "220-" SCENE_NAME " ESMTP\r\n"
#define OWN_220 "220 " SCENE_NAME " ESMTP\r\n"
#define OWN_421 "421 " SCENE_NAME " Service not available, try again later\r\n"

extern struct world scene;

/* Opens a session at time 0 with this plan; lead 1 s, no PROXY header. Caps
 * that the plan leaves 0 become the shipped ones. */
void scene_open(struct plan plan);

/* The gate grants, the MTA answers the dial; both must have been asked for. */
void scene_connect(void);

/* The dial fails. */
void scene_refuse(void);

/* A side says this, now. */
void scene_client(const char *text);
void scene_mta(const char *text);

/* Time passes up to `ms` after the opening; every deadline on the way is met.
 * FLUSHED is told whenever it was asked for. */
void scene_until(uint32_t ms);

/* What a side has got since the last look is exactly this. */
void scene_client_got(const char *want);
void scene_mta_got(const char *want);

/* The session has ended like this. */
void scene_ended(enum session_reason want);

/* main() of a behaviour: runs the tests of the file. */
#define SCENES(...)                                                            \
	int main(void)                                                         \
	{                                                                      \
		const struct CMUnitTest tests[] = {__VA_ARGS__};               \
		return cmocka_run_group_tests(tests, NULL, NULL);              \
	}

#endif
