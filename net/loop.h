/*
 * An event loop and its thread. What happens on a loop happens on one thread; others hand it work
 * with loop_post(), which appends to a list and writes one eventfd if the list was empty.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <sys/queue.h>

struct event_base;
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
/* Waits for the loop's thread, if it has one; then frees. */
void loop_free(struct loop *l);
/* Any thread. Never blocks, allocates nothing. */
void loop_post(struct loop *l, struct loop_post *post);
struct event_base *loop_base(struct loop *l);
/* Panics if the caller is on another thread. */
void loop_assert(const struct loop *l);

#endif
