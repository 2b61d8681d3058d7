/*
 * Telling people how full the store is: once a second, on the main loop, it asks room_watch.c. What
 * there is to tell is a row of the store, which takes those when it takes no mail; where it cannot
 * write even that, the alert goes past the outbox (alert/direct.h). That a sync failed goes that
 * way in any case. Freed after the store has closed.
 */
#include <stddef.h>
#include <stdlib.h>

#include "alert/direct.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "store/room_watch.h"

struct space {
	struct daemon *daemon;
	struct room_watch watch;
	struct loop_post done;
	struct store_job job;
	struct buf text; /* of the job */
	bool busy;
	struct direct *past, *broken; /* what is on its way past the outbox */
};

/* A later one replaces it: what is true now matters. */
static void
space_tell_past(struct space *s, struct direct **slot, const char *event, const char *text)
{
	direct_free(*slot);
	*slot = direct_new(s->daemon->loop, (struct config *)policy_config(s->daemon->policy), NULL,
			   event, text);
}

static void
space_job_done(struct store_job *job)
{
	struct space *s = job->context;

	loop_post(s->daemon->loop, &s->done);
}

static void
space_done(struct loop_post *post)
{
	struct space *s = (struct space *)((char *)post - offsetof(struct space, done));
	const char *event = s->job.u.fact.event;

	s->busy = false;
	/* At a stop the rest of the daemon may be gone already; the next start looks again. */
	if (s->daemon->stopping)
		return;
	if (s->job.result == STORE_OK) {
		alert_poke(s->daemon->alert);
		return;
	}
	log_warn("- store.fact-failed event=%s error=%s", event, log_safe(s->job.error));
	space_tell_past(s, &s->past, event, buf_text(&s->text));
}

static void
space_tell(struct space *s, const char *event)
{
	s->busy = true;
	s->job = (struct store_job){.op = STORE_FACT,
				    .done = space_job_done,
				    .context = s,
				    .u.fact = {.event = event,
					       .environment = "",
					       .object = "",
					       .who = "gate",
					       .reason = "",
					       .text = buf_text(&s->text),
					       .alert = true,
					       .keep = ROOM_WATCH_KEEP,
					       .number = room_watch_kept(&s->watch),
					       .now = clock_wall()}};
	writer_submit(s->daemon->store, &s->job);
}

static void
space_tell_lost(struct space *s)
{
	const char *why;

	if (s->broken != NULL || !store_is_lost(s->daemon->store))
		return;
	store_has_room(s->daemon->store, &why);
	space_tell_past(s, &s->broken, "store.broken", why);
}

void
space_tick(struct space *s)
{
	struct store_room room;
	enum room_news news;

	if (s->daemon->stopping)
		return;
	space_tell_lost(s);
	if (s->busy)
		return;
	buf_clear(&s->text);
	store_read_room(s->daemon->store, &room);
	news = room_watch_look(&s->watch, &room, clock_mono(), clock_wall(), &s->text);
	if (news != ROOM_NO_NEWS)
		space_tell(s, room_news_event(news));
}

struct space *
space_new(struct daemon *d)
{
	struct space *s = mem_zalloc(sizeof(*s));
	int64_t kept = 0;

	s->daemon = d;
	s->done.run = space_done;
	if (store_view_number(d->view, ROOM_WATCH_KEEP, &kept) != STORE_OK)
		kept = 0;
	room_watch_init(&s->watch, kept);
	return s;
}

void
space_free(struct space *s)
{
	direct_free(s->past);
	direct_free(s->broken);
	buf_free(&s->text);
	free(s);
}
