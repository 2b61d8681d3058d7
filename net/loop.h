/*
 * An event loop and its thread. What happens on a loop happens on one thread; others hand it work
 * with loop_post(), which appends to a list and writes one eventfd if the list was empty.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct evdns_base;
struct loop;

/* Embedded in the object that travels; run() is called once on the loop's thread. */
struct loop_post {
	STAILQ_ENTRY(loop_post) next;
	void (*run)(struct loop_post *post);
};

/* A loop; nothing runs yet. `name` is for the thread and the log ("relay-0"). */
struct loop *loop_new(const char *name);
/* On a thread of its own. */
void loop_start(struct loop *l);
/* On the calling thread, until loop_stop(). */
void loop_run(struct loop *l);
/* Ends after the turn; posts that came before are run first. Any thread. */
void loop_stop(struct loop *l);
/* Waits for the loop's thread to end, if it has one. What is posted later is never run. */
void loop_join(struct loop *l);
/* Runs on the calling thread what was posted to a loop that was joined, until nothing is left. */
void loop_drain(struct loop *l);
/* Joins, then frees. Everything that lives on the loop must be gone. */
void loop_free(struct loop *l);
/* Any thread. Never blocks, allocates nothing. */
void loop_post(struct loop *l, struct loop_post *post);
/*
 * Embedded in what has something to do once the events at hand have been dealt with (bytes to send,
 * input to look at again): run() is called once, by the loop itself, before it waits for anything.
 * loop_after() for what waits already changes nothing. On the loop's thread.
 */
struct loop_turn {
	TAILQ_ENTRY(loop_turn) next;
	void (*run)(struct loop_turn *turn);
	bool waits;
};
void loop_after(struct loop *l, struct loop_turn *turn);
void loop_after_cancel(struct loop *l, struct loop_turn *turn);
/*
 * free(memory) at the turn's end: for objects that end while callers up the stack still look at
 * them. On the loop's thread.
 */
void loop_free_later(struct loop *l, void *memory);
/*
 * A place of LOOP_SCRATCH_BYTES for what is read and used at once, so that a connection at rest
 * needs none of its own. Good until the callback that asked returns to the loop.
 */
enum { LOOP_SCRATCH_BYTES = 65536 + 16384 };
char *loop_scratch(struct loop *l);
/*
 * What still ends by itself when the loop does (a connection that sends its last bytes): end() is
 * called once by loop_free(), unless it was taken out before. On the loop's thread.
 */
struct loop_rest {
	LIST_ENTRY(loop_rest) next;
	void (*end)(struct loop_rest *rest);
};
void loop_add_rest(struct loop *l, struct loop_rest *rest);
void loop_remove_rest(struct loop_rest *rest);
struct event_base *loop_base(struct loop *l);
/* The loop's own resolver, made at the first call. On the loop's thread. */
struct evdns_base *loop_dns(struct loop *l);
/* Panics if the caller is on another thread. */
void loop_assert(const struct loop *l);
/* libevent's, for `mailfused -V`. */
const char *loop_library_version(void);

/*
 * A timer that fires once each time it is set. Setting one later than it stands, as each command
 * and each read does, costs no more than a look at the clock. All on the loop's thread.
 */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *context), void *context);
void loop_timer_set(struct loop_timer *t, int64_t microseconds);
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* A signal, caught on one loop for the process. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *l, int number,
				    void (*fire)(void *context, int number), void *context);
void loop_signal_free(struct loop_signal *s);

#endif
