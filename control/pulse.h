/*
 * What goes through each environment: sums of the last minute, hour and day, out of the history of
 * traffic. Read bit by bit on the main loop, only once somebody has asked.
 */
#ifndef CONTROL_PULSE_H
#define CONTROL_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"

struct pulse_sums {
	uint64_t messages, recipients, passed, waited, held, dropped;
};

enum { PULSE_STEPS = 144, PULSE_STEP_MINUTES = 10 };

struct pulse_rates {
	struct pulse_sums minute, hour, day; /* minute: the last whole one */
	/* A day, oldest first; the last step is the present one. */
	struct pulse_sums steps[PULSE_STEPS];
	int64_t first_step_at; /* wall clock */
};

struct pulse;
/* Borrows what it is given. */
struct pulse *pulse_new(const struct control_deps *deps);
void pulse_free(struct pulse *p);

/* Reads what is new, for some milliseconds; the rest follows by itself. *complete: all of the last
 * day has been read. */
enum store_result pulse_update(struct pulse *p, bool *complete);
/* As of the last update; zeroes for an environment without mail. */
void pulse_rates(const struct pulse *p, const char *environment, struct pulse_rates *out);

#endif
