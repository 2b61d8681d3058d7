/*
 * What came of a simulation so far: per rule, and in all. Filled by run.c; the order of calls is
 * that of the virtual clock. One thread.
 */
#ifndef SIMULATE_REPORT_H
#define SIMULATE_REPORT_H

#include "simulate/copies.h"
#include "simulate/simulate.h"

struct report;

/* Every rule of the configuration has a row from the start, in the order in which they judge. */
struct report *report_new(const struct config *config);
void report_free(struct report *r);

/* One recipient of a message at `at`. */
void report_arrive(struct report *r, int64_t at, bool blast);
/* It left, `delay` after it came. */
void report_leave(struct report *r, uint64_t person, int64_t delay, bool blast);
/* A rule held it: at its arrival, or called back at `at`. */
void report_hold(struct report *r, const char *environment, const char *rule, int64_t at,
		 bool blast);
void report_observe(struct report *r, const char *environment, const char *rule, int64_t at);
/* A batch opened; `leaked` of its stream had left by then. */
void report_batch(struct report *r, const char *environment, const char *rule, int64_t at,
		  uint64_t leaked);
/* Counters of it all, for the caller to raise: messages, dropped, rejected. */
struct simulation_total *report_counts(struct report *r);

void report_total(const struct report *r, struct simulation_total *out);
void report_rules(const struct report *r,
		  void (*row)(void *context, const struct simulation_rule *rule), void *context);

#endif
