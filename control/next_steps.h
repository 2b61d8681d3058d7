/*
 * What makes sense to type now about a batch, the careful way first. Main loop.
 */
#ifndef CONTROL_NEXT_STEPS_H
#define CONTROL_NEXT_STEPS_H

#include <jansson.h>

#include "store/views.h"

struct config;

/* What of a batch and its plan decides that; zero-initialised. */
struct next_steps {
	int64_t batch;
	char *environment; /* "" = of several */
	enum store_batch_state state;
	uint64_t held, discarded;
	enum store_plan_state plan; /* STORE_PLAN_NONE: it has none */
	bool rings_to_come;
};

void next_steps_take_batch(struct next_steps *n, const struct store_batch *b);
void next_steps_take_plan(struct next_steps *n, const struct store_plan *p);
void next_steps_free(struct next_steps *n);

/* A list of command lines; the caller owns it. */
json_t *next_steps_make(const struct next_steps *n, const struct config *config);

#endif
