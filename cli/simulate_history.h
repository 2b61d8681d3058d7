/*
 * The recorded traffic of the daemon (GET /v1/traffic) as rows for a simulation.
 */
#ifndef CLI_SIMULATE_HISTORY_H
#define CLI_SIMULATE_HISTORY_H

#include "cli/command.h"
#include "simulate/simulate.h"

/*
 * Feeds the traffic of the last `length` microseconds. Problems are lines in `errors`. *start: the
 * wall clock at the simulation's time 0. CLIENT_DONE, or what command_list() failed with.
 */
int history_feed(const struct command *c, struct simulation *s, int64_t length, int64_t *start,
		 struct buf *errors);

#endif
