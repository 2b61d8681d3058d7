/*
 * Batches whose release was paused a short while ago, for what the loops have in hand of them. Any
 * thread.
 *
 * A turn is a number that grows with every claim and every pause. What was claimed before a batch
 * was paused goes back; what was claimed after it was resumed leaves. A claim takes its turn on the
 * writer's thread, in the order of the commits. A pause may take its own late: what goes back
 * needlessly is due again at once.
 */
#ifndef RELAY_PAUSES_H
#define RELAY_PAUSES_H

#include <stdbool.h>
#include <stdint.h>

struct pauses;

struct pauses *pauses_new(void);
void pauses_free(struct pauses *p);
uint64_t pauses_turn(struct pauses *p);
void pauses_add(struct pauses *p, int64_t batch);
/* True if that batch was paused after `turn`. Next to nothing while no batch ever was. */
bool pauses_cover(struct pauses *p, int64_t batch, uint64_t turn);

#endif
