/*
 * `seen` of a decision: what the person had in front of them, read from the call, and the answer
 * where the batch is not that any more. Called by decision_call.c, decisions.c and plans.c; main
 * loop.
 */
#ifndef CONTROL_STALE_H
#define CONTROL_STALE_H

#include <stdbool.h>

#include "store/page.h"

struct request;

/* False after it answered 400. Without `seen` the page's set is 0. `one_batch`: the call is about
 * one batch and nothing else. */
bool stale_read(struct request *r, bool one_batch, struct store_page *page);
/* 409 with `changed`, where the job was refused for it: page->changed is not 0. */
void stale_fail(struct request *r, const struct store_page *page);

#endif
