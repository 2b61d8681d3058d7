/*
 * What limits the rows of a trace would bear: how many recipients each key of each burst rule had
 * in one window. Fed by run.c with every message, whatever the rules said of it. One thread.
 *
 * A key's arrivals are counted in slices of an eighth of the window; whenever a slice with arrivals
 * ends, the last nine of them are one sample. So a sample is never less than what any window that
 * ends in that slice held, and looks at most an eighth further back.
 */
#ifndef SIMULATE_SUGGEST_H
#define SIMULATE_SUGGEST_H

#include "mail/message.h"
#include "simulate/simulate.h"

enum {
	SUGGEST_SLICES = 8,
	SUGGEST_KEYS_MAX = 2000000 /* of all rules; others are not looked at, which `why` says */
};

struct suggest;

/* Keeps no reference: the configuration must live longer. */
struct suggest *suggest_new(const struct config *config);
void suggest_free(struct suggest *s);
/* A message as gate_judge() left it. `at` never less than before. */
void suggest_count(struct suggest *s, const struct config_environment *e, const struct message *m,
		   int64_t at);
/* Takes the slices that are not over yet; nothing is counted afterwards. */
void suggest_end(struct suggest *s);
void suggest_rows(struct suggest *s,
		  void (*row)(void *context, const struct simulation_suggestion *r), void *context);
/* 1, 2, 2.5 or 5 times a power of ten, not less than n: what people write. */
uint32_t suggest_round(uint64_t n);

#endif
