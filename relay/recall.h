/*
 * What a trip calls back, on the relay's side: mail that was judged to leave, or counted, and does
 * not leave after all. The store has called back what was in its hands by then (see "Streams" in
 * store/store.h).
 */
#ifndef RELAY_RECALL_H
#define RELAY_RECALL_H

#include <stdint.h>

#include "relay/relay.h"

/* Every loop looks at what waits for an upstream on it, and at what was said ahead: after a trip, a
 * pause, or a hold. Any thread. */
void recall_request(struct relay *r);
/*
 * After STORE_ADD of a message that was judged: if it made a stream trip, recall_request(). Any
 * thread.
 */
void recall_stored(struct relay *r, const struct message *m);
/* It was counted, but could not be stored: its sender will try again, and be counted then. */
void recall_not_stored(struct relay *r, const struct message *m);
/* For store_open(): what the store tells these counters, and asks of them, on the writer's thread.
 * They must outlive the store. */
struct store_counters recall_counters(struct counters *c);

#endif
