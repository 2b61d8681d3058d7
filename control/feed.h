/*
 * What has changed since the last look, as server-sent events: batches, the status in short, new
 * alerts. One for all who listen; on the main loop.
 */
#ifndef CONTROL_FEED_H
#define CONTROL_FEED_H

#include "base/buf.h"
#include "control/control.h"

struct feed;
/* Borrows what it is given. */
struct feed *feed_new(const struct control_deps *deps);
void feed_free(struct feed *f);

/* Takes what is as known: the next look tells what is new from here on. */
void feed_begin(struct feed *f);
/* Appends the events of what has changed; some milliseconds. What cannot be read now is told with
 * the next look. */
void feed_look(struct feed *f, struct buf *out);
/* The status as an event, as of the last look: for who begins to listen. */
void feed_add_status(const struct feed *f, struct buf *out);

#endif
