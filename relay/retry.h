/*
 * The queue: claims what is due out of the store and deals it to the relay loops; says when
 * something is due again. All on the main loop, but for retry_schedule(), retry_jitter(),
 * retry_probe_delay().
 */
#ifndef RELAY_RETRY_H
#define RELAY_RETRY_H

#include <stdint.h>

#include "relay/delivery.h"

struct relay;
struct retry;

struct retry *retry_new(struct relay *r);
void retry_free(struct retry *q);
/* Something may be due: look now. */
void retry_poke(struct retry *q);
/* No more claims. */
void retry_stop(struct retry *q);

/*
 * An upstream said 4xx, or was lost: fills r->result.due_at with the next try (first delay doubled
 * each time, at most an hour, a quarter of jitter), or makes it STORE_FAILED once retry_for has
 * passed. Recipients that were tried together come again together: one transaction for all of
 * them, and one copy for a mailbox that several were rewritten to. Any thread.
 */
void retry_schedule(struct delivery *d, struct delivery_recipient *r);
/* About so long: between 75% and 125%. Any thread. */
int64_t retry_jitter(int64_t microseconds);
/* The first wait before a probe of an upstream that is down. */
int64_t retry_probe_delay(void);

#endif
