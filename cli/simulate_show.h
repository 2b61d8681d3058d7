/*
 * What a simulation found, for people and as JSON.
 */
#ifndef CLI_SIMULATE_SHOW_H
#define CLI_SIMULATE_SHOW_H

#include <stdbool.h>

#include "simulate/simulate.h"

struct simulate_show {
	bool json;
	int64_t start; /* wall clock of the simulation's time 0; -1 = not known */
};

/* As simulation_options.verdict; the context is a struct simulate_show. */
void simulate_show_verdict(void *context, uint64_t row, const char *recipient, const char *verdict,
			   const char *rule);
/* A row a rule, and the totals. */
void simulate_show_result(struct simulate_show *show, const struct simulation *s);
void simulate_show_suggestions(struct simulate_show *show, const struct simulation *s);

#endif
