/*
 * The outbox with a store and channels that answer as told. One rig at a time; main thread.
 */
#ifndef TESTS_UNIT_ALERT_RIG_H
#define TESTS_UNIT_ALERT_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/alert.h"
#include "alert/channel.h"

/* How long what must come may take on a busy machine: a wait for an event, no measurement. */
#define PATIENCE (30 * CLOCK_SECOND)

enum { SEEN_MAX = 11000 };

/*
 * A fake channel does what its name begins with: "ok" takes everything, "bad" refuses everything,
 * "once" refuses the first, "twice" the first two, "hang" never answers, "no" cannot start, "busy"
 * asks to be left alone for an hour, "late" refuses the first summary.
 */
struct seen {
	char channel[20], event[40], text[60], line[40]; /* line: the last of a summary */
	long long id;
	int64_t at;
};

extern struct alert_rig {
	struct loop *loop;
	struct store *store;
	struct store_view *view;
	struct alert *alert;
	struct loop_timer *pulse;
	struct seen seen[SEEN_MAX]; /* every start, in order */
	size_t count, cancelled;
} rig;
extern const struct channel_types rig_fakes;

struct rig_options {
	const char *keys; /* of each channel; NULL: type = webhook */
	const char *path; /* of a real store; NULL: the twin in memory */
	int64_t patience, digest_first;
};
/* Names of channels, such as "ok bad*upstream.*": a star and the events it wants, else all. */
void rig_open_with(const char *channels, const char *retry_for, const struct rig_options *with);
void rig_open(const char *channels, const char *retry_for);
/* As daemon/ ends it: the outbox first, then the store, then what the store still posted. */
void rig_close(void);
/* The same channels, for a reload. */
struct config *make_config(const char *channels, const char *retry_for, const char *keys);

void rig_turn(void);
void rig_pass(int64_t time);
/* Until that many starts were seen of a channel; false after the time. */
bool rig_sees(const char *channel, size_t count, int64_t time);
size_t seen_by(const char *channel);
/* Of one event. */
size_t told_of(const char *channel, const char *event);
bool is_told(const char *channel, const char *event, size_t count, int64_t time);

/* Something happens; returns when it is in the store. */
void tell(const char *event, const char *text);
/* So many at once, whose texts are their numbers from 0. */
void tell_many(const char *event, size_t count);
void backlog(uint64_t *pending, uint64_t *failed);
bool backlog_becomes(uint64_t pending, uint64_t failed, int64_t time);

#endif
