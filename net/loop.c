/*
 * Event loops: an event_base, its thread, and the list of work that other threads posted.
 * Made and freed by daemon/; loop_post() is called by every thread that answers a loop.
 */
#include "net/loop.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct loop {
	struct event_base *base;
	struct evdns_base *dns; /* made at first use */
	struct event *wake;
	int wake_fd;
	char *name;
	pthread_t thread; /* the one that runs it */
	bool started;     /* has a thread of its own to be joined */
	_Atomic bool running;
	pthread_mutex_t lock; /* guards posts and stopping */
	STAILQ_HEAD(post_list, loop_post) posts;
	bool stopping;
	LIST_HEAD(, loop_rest) rests;
	TAILQ_HEAD(turn_list, loop_turn) turns; /* what waits for the turn's end */
	struct event *turn;                     /* active while something waits */
	char *scratch;                          /* made at first use */
};

struct loop_timer {
	struct event *event;
	int64_t due;    /* monotonic, 0: not set */
	int64_t stands; /* when the event comes, 0: it does not stand */
	void (*fire)(void *context);
	void *context;
};

/* Runs all that was posted; what is posted meanwhile waits for the next turn. */
static void
loop_run_posts(evutil_socket_t fd, short what, void *context)
{
	struct loop *l = context;
	struct post_list todo = STAILQ_HEAD_INITIALIZER(todo);
	struct loop_post *p;
	uint64_t count;
	bool stopping;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("- loop.wake-failed loop=%s error=%s", l->name, log_safe(strerror(errno)));
	pthread_mutex_lock(&l->lock);
	STAILQ_CONCAT(&todo, &l->posts);
	stopping = l->stopping;
	pthread_mutex_unlock(&l->lock);
	while ((p = STAILQ_FIRST(&todo)) != NULL) {
		STAILQ_REMOVE_HEAD(&todo, next);
		p->run(p);
	}
	if (stopping)
		event_base_loopbreak(l->base);
}

/* What comes to wait meanwhile is run too: each has something new to do. */
static void
loop_run_turns(evutil_socket_t fd, short what, void *context)
{
	struct loop *l = context;
	struct loop_turn *t;

	(void)fd;
	(void)what;
	while ((t = TAILQ_FIRST(&l->turns)) != NULL) {
		TAILQ_REMOVE(&l->turns, t, next);
		t->waits = false;
		t->run(t);
	}
}

/* libevent runs what becomes active in a turn behind all that is active already. */
void
loop_after(struct loop *l, struct loop_turn *turn)
{
	if (turn->waits)
		return;
	turn->waits = true;
	if (TAILQ_EMPTY(&l->turns))
		event_active(l->turn, EV_TIMEOUT, 1);
	TAILQ_INSERT_TAIL(&l->turns, turn, next);
}

void
loop_after_cancel(struct loop *l, struct loop_turn *turn)
{
	if (!turn->waits)
		return;
	turn->waits = false;
	TAILQ_REMOVE(&l->turns, turn, next);
}

char *
loop_scratch(struct loop *l)
{
	if (l->scratch == NULL)
		l->scratch = mem_alloc(LOOP_SCRATCH_BYTES);
	return l->scratch;
}

static void
loop_wake(struct loop *l)
{
	const uint64_t one = 1;

	/* EAGAIN means the counter is at its end: the loop will wake anyway. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("- loop.wake-failed loop=%s error=%s", l->name, log_safe(strerror(errno)));
}

struct loop *
loop_new(const char *name)
{
	struct loop *l = mem_zalloc(sizeof(*l));

	evthread_use_pthreads();
	l->name = mem_strdup(name);
	l->base = event_base_new();
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->base == NULL || l->wake_fd < 0)
		fatal("cannot make an event loop: %s", strerror(errno));
	pthread_mutex_init(&l->lock, NULL);
	STAILQ_INIT(&l->posts);
	LIST_INIT(&l->rests);
	TAILQ_INIT(&l->turns);
	l->turn = event_new(l->base, -1, 0, loop_run_turns, l);
	l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, loop_run_posts, l);
	if (l->turn == NULL || l->wake == NULL || event_add(l->wake, NULL) < 0)
		fatal("cannot make an event loop");
	return l;
}

static void *
loop_thread(void *context)
{
	struct loop *l = context;

	pthread_setname_np(pthread_self(), l->name);
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

void
loop_start(struct loop *l)
{
	int error;

	l->started = true;
	error = pthread_create(&l->thread, NULL, loop_thread, l);
	if (error != 0)
		fatal("cannot start a thread: %s", strerror(error));
	atomic_store(&l->running, true);
}

void
loop_run(struct loop *l)
{
	l->thread = pthread_self();
	atomic_store(&l->running, true);
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	pthread_mutex_lock(&l->lock);
	l->stopping = false; /* it may run again */
	pthread_mutex_unlock(&l->lock);
}

void
loop_stop(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_mutex_unlock(&l->lock);
	loop_wake(l);
}

void
loop_join(struct loop *l)
{
	if (!l->started)
		return;
	pthread_join(l->thread, NULL);
	l->started = false;
	atomic_store(&l->running, false);
}

void
loop_drain(struct loop *l)
{
	bool empty;

	do {
		loop_run_posts(l->wake_fd, 0, l);
		loop_run_turns(-1, 0, l);
		pthread_mutex_lock(&l->lock);
		empty = STAILQ_EMPTY(&l->posts);
		pthread_mutex_unlock(&l->lock);
	} while (!empty);
}

void
loop_add_rest(struct loop *l, struct loop_rest *rest)
{
	LIST_INSERT_HEAD(&l->rests, rest, next);
}

void
loop_remove_rest(struct loop_rest *rest)
{
	LIST_REMOVE(rest, next);
}

void
loop_free(struct loop *l)
{
	struct loop_rest *rest;

	if (l == NULL)
		return;
	loop_join(l);
	while ((rest = LIST_FIRST(&l->rests)) != NULL) {
		LIST_REMOVE(rest, next);
		rest->end(rest);
	}
	loop_drain(l);
	/*
	 * libevent tells of a cancelled resolution in a turn of the loop, which needs the resolver.
	 */
	event_base_loop(l->base, EVLOOP_NONBLOCK);
	if (l->dns != NULL)
		evdns_base_free(l->dns, 0);
	event_base_loop(l->base, EVLOOP_NONBLOCK);
	event_free(l->wake);
	event_free(l->turn);
	event_base_free(l->base);
	close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	free(l->scratch);
	free(l->name);
	free(l);
}

void
loop_post(struct loop *l, struct loop_post *post)
{
	bool was_empty;

	pthread_mutex_lock(&l->lock);
	was_empty = STAILQ_EMPTY(&l->posts);
	STAILQ_INSERT_TAIL(&l->posts, post, next);
	pthread_mutex_unlock(&l->lock);
	if (was_empty)
		loop_wake(l);
}

struct loop_grave {
	struct loop_turn turn;
	void *memory;
};

static void
loop_bury(struct loop_turn *turn)
{
	struct loop_grave *g = (struct loop_grave *)turn;

	free(g->memory);
	free(g);
}

void
loop_free_later(struct loop *l, void *memory)
{
	struct loop_grave *g = mem_zalloc(sizeof(*g));

	g->turn.run = loop_bury;
	g->memory = memory;
	loop_after(l, &g->turn);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

struct evdns_base *
loop_dns(struct loop *l)
{
	if (l->dns == NULL)
		l->dns = evdns_base_new(l->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
						     EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return l->dns;
}

void
loop_assert(const struct loop *l)
{
	if (atomic_load(&l->running) && !pthread_equal(l->thread, pthread_self()))
		panic("loop %s was touched by another thread", l->name);
}

static void
loop_timer_stand(struct loop_timer *t, int64_t now)
{
	int64_t wait = t->due > now ? t->due - now : 0;
	struct timeval tv = {.tv_sec = wait / 1000000, .tv_usec = wait % 1000000};

	t->stands = t->due;
	evtimer_add(t->event, &tv);
}

/* It may stand earlier than it is due by now, or be cancelled: see loop_timer_set(). */
static void
loop_timer_fired(evutil_socket_t fd, short what, void *context)
{
	struct loop_timer *t = context;
	int64_t now = clock_mono();

	(void)fd;
	(void)what;
	t->stands = 0;
	if (t->due == 0)
		return;
	if (t->due > now) {
		loop_timer_stand(t, now);
		return;
	}
	t->due = 0;
	t->fire(t->context);
}

struct loop_timer *
loop_timer_new(struct loop *l, void (*fire)(void *context), void *context)
{
	struct loop_timer *t = mem_zalloc(sizeof(*t));

	t->fire = fire;
	t->context = context;
	t->event = evtimer_new(l->base, loop_timer_fired, t);
	if (t->event == NULL)
		fatal("out of memory");
	return t;
}

void
loop_timer_set(struct loop_timer *t, int64_t microseconds)
{
	int64_t now = clock_mono();

	t->due = now + microseconds;
	if (t->stands == 0 || t->stands > t->due)
		loop_timer_stand(t, now);
}

void
loop_timer_cancel(struct loop_timer *t)
{
	t->due = 0;
}

void
loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	event_free(t->event);
	free(t);
}

struct loop_signal {
	struct event *event;
	void (*fire)(void *context, int number);
	void *context;
};

static void
loop_signal_fired(evutil_socket_t number, short what, void *context)
{
	struct loop_signal *s = context;

	(void)what;
	s->fire(s->context, (int)number);
}

struct loop_signal *
loop_signal_new(struct loop *l, int number, void (*fire)(void *context, int number), void *context)
{
	struct loop_signal *s = mem_zalloc(sizeof(*s));

	s->fire = fire;
	s->context = context;
	s->event = evsignal_new(l->base, number, loop_signal_fired, s);
	if (s->event == NULL || evsignal_add(s->event, NULL) < 0)
		fatal("cannot catch signal %d", number);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->event);
	free(s);
}

const char *
loop_library_version(void)
{
	return event_get_version();
}
