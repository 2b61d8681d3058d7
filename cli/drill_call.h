/*
 * What the steps of a drill are made of.
 */
#ifndef CLI_DRILL_CALL_H
#define CLI_DRILL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "cli/drill_steps.h"

/* As mailfused calls it (CONFIG_DRILL). */
#define DRILL_ENVIRONMENT "drill"

/* A step is over: adds it to d->steps and prints it. The text of one that failed says why, and what
 * to do next; drill_fail() is always false. */
void drill_pass(struct drill *d, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool drill_fail(struct drill *d, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* New references; NULL and a reason in `error`. Where mailfused is gone the drill is lost. */
json_t *drill_ask(struct drill *d, const char *path, struct buf *error);
/* Takes `body`. */
json_t *drill_tell(struct drill *d, const char *path, json_t *body, struct buf *error);
/* release, discard, restore or purge a whole batch; where `ring` is not 0 it is released in rings,
 * so many recipients first. */
json_t *drill_decide(struct drill *d, const char *what, const char *batch, int ring,
		     struct buf *error);
/* Deliveries of all drills in that state; a field of the batch; -1 if nobody says. */
int64_t drill_count(struct drill *d, const char *state);
int64_t drill_count_batch(struct drill *d, const char *field);
/* Until `ready`, at most so long (microseconds); the sink is served meanwhile. False if it did not
 * become so, or the drill is lost. */
bool drill_wait(struct drill *d, bool (*ready)(struct drill *d), int64_t patience);
/* Why it is lost, for people. */
const char *drill_lost_text(const struct drill *d);
/* Discards and purges what drills have left behind. How many were purged; -1 and a reason. */
int64_t drill_clear_away(struct drill *d, struct buf *error);

#endif
