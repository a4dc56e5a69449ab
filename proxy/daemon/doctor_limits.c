/*
 * The last examination: how many sessions at a time the MTA serves, up to a
 * number that is said. Each is greeted and held until all were tried; none
 * takes more than half of the slots that clients leave, and all hang up as
 * soon as a client has to wait for one.
 */
#include "proxy/daemon/doctor_state.h"

#include <stdio.h>
#include <stdlib.h>

#define GREETING_MS 5000
#define WATCH_MS 50
#define BYE_MS 200
/* What Postfix allows one client, if it is told nothing else. */
#define CLIENT_LIMIT 50

void
doctor_limits_stop(struct doctor *d)
{
	for (uint32_t i = 0; i < d->seats_count; i++)
		mta_talk_close(d->seats[i].talk);
	free(d->seats);
	d->seats = NULL;
	d->seats_count = 0;
}

static void
on_bye(uv_timer_t *timer)
{
	doctor_limits_stop(timer->data);
	doctor_next(timer->data);
}

/* Says QUIT, and hangs up when there was time to hear it. */
static void
leave(struct doctor *d)
{
	for (uint32_t i = 0; i < d->seats_count; i++)
		if (d->seats[i].talk != NULL)
			mta_talk_send(d->seats[i].talk, "QUIT\r\n", 6);
	(void)uv_timer_start(&d->timer, on_bye, BYE_MS, 0);
}

static void
tell_short(struct doctor *d)
{
	uint32_t silent = d->seats_count - d->greeted - d->refused;

	d->advice.number = d->greeted > 1 ? d->greeted - 1 : 1;
	doctor_tell(d, "connections", DOCTOR_ERROR, MEND_LIMIT,
		    "of %u sessions at a time it greeted %u; %u heard nothing "
		    "for %d s, %u were refused%s%s; mta.max_connections is %u",
		    (unsigned)d->seats_count, (unsigned)d->greeted,
		    (unsigned)silent, GREETING_MS / 1000, (unsigned)d->refused,
		    d->refusal[0] != '\0' ? ": " : "", d->refusal,
		    (unsigned)d->mta.max_connections);
}

static void
tell_enough(struct doctor *d)
{
	uint32_t most = d->mta.max_connections;

	if (d->seats_count >= most)
		doctor_tell(d, "connections", DOCTOR_OK, MEND_NOTHING,
			    "it greeted %u sessions at a time, all that "
			    "mta.max_connections allows",
			    (unsigned)d->seats_count);
	else
		doctor_tell(d, "connections", DOCTOR_OK, MEND_NOTHING,
			    "it greeted %u sessions at a time; whether it "
			    "takes the %u of mta.max_connections was not "
			    "tried, `tarryctl doctor %u` does",
			    (unsigned)d->seats_count, (unsigned)most,
			    (unsigned)most);
	if (d->mta.client_address == CLIENT_ADDRESS_NONE &&
	    most > CLIENT_LIMIT && d->seats_count < most) {
		d->advice.number = most + most / 10;
		doctor_tell(d, "connections", DOCTOR_WARNING, MEND_CLIENT_LIMIT,
			    "all %u sessions come from one address for it, and "
			    "some MTAs allow one client fewer",
			    (unsigned)most);
	}
}

/* Looks whether all were tried, and whether clients want what we hold. */
static void
on_watch(uv_timer_t *timer)
{
	struct doctor *d = timer->data;
	bool is_asked = false;

	for (uint32_t i = 0; i < d->seats_count; i++)
		is_asked |= d->seats[i].is_asked;
	if (d->client.room(d->client.ctx) == 0) {
		doctor_tell(d, "connections", DOCTOR_WARNING, MEND_NOTHING,
			    "broken off: clients wanted the connections");
		leave(d);
		return;
	}
	if (is_asked) {
		(void)uv_timer_start(timer, on_watch, WATCH_MS, 0);
		return;
	}
	if (d->greeted < d->seats_count)
		tell_short(d);
	else
		tell_enough(d);
	leave(d);
}

static void
keep_refusal(struct doctor *d, const struct mta_talk_news *news)
{
	d->refused++;
	if (d->refusal[0] == '\0' && news->len > 0)
		(void)snprintf(d->refusal, sizeof(d->refusal), "%.*s",
			       DOCTOR_LINE(news));
}

static void
on_news(void *ctx, struct mta_talk *t, const struct mta_talk_news *news)
{
	struct doctor_seat *seat = ctx;
	struct doctor *d = seat->doctor;

	(void)t;
	if (news->what == MTA_TALK_CONNECTED || !seat->is_asked)
		return;
	seat->is_asked = false;
	if (news->what == MTA_TALK_REPLY && news->code == 220)
		d->greeted++;
	else if (news->what != MTA_TALK_QUIET)
		keep_refusal(d, news);
}

/* How many to try; 0: none, and why has been said. */
static uint32_t
choose_count(struct doctor *d)
{
	uint32_t room = d->client.room(d->client.ctx) / 2;
	uint32_t count = d->sessions;

	if (count > d->mta.max_connections)
		count = d->mta.max_connections;
	if (count > room)
		count = room;
	if (count == 0 && d->sessions > 0)
		doctor_tell(d, "connections", DOCTOR_WARNING, MEND_NOTHING,
			    "not tried: clients use nearly all of the %u "
			    "connections of mta.max_connections",
			    (unsigned)d->mta.max_connections);
	return count;
}

void
doctor_limits(struct doctor *d)
{
	uint32_t count = d->outcome == DOCTOR_WELL ? choose_count(d) : 0;

	if (count > 0)
		d->seats = calloc(count, sizeof(*d->seats));
	if (d->seats == NULL) {
		doctor_next(d);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct doctor_seat *seat = &d->seats[d->seats_count];

		seat->doctor = d;
		seat->is_asked = true;
		if (doctor_dial(d, &seat->talk, d->mta.client_address, i,
				GREETING_MS, on_news, seat))
			d->seats_count++;
	}
	(void)uv_timer_start(&d->timer, on_watch, WATCH_MS, 0);
}
