/*
 * Reading a delivery through what was decided on its whole batch (struct sweep in backend.h), and
 * whether it is what a query wants: the same words for both backends. Any thread; nothing is kept.
 */
#ifndef STORE_SWEEP_H
#define STORE_SWEEP_H

#include "store/backend.h"

/* The states that a decision on the whole moves. */
enum { SWEEP_STATES = 1U << STORE_HELD | 1U << STORE_DISCARDED };

/* Both of a row as it is stored. */
bool sweep_is_gone(const struct sweep *s, const struct delivery_row *d);
void sweep_read(const struct sweep *s, struct delivery_row *d);

/* All but `stream`, `limit` and the order; `d` as it was read. */
bool sweep_matches(const struct delivery_query *q, const struct delivery_row *d);

#endif
