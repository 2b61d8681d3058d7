/*
 * What a policy would have done: a trace of mail goes through the gate's own functions on a virtual
 * clock, and what waits, is recalled and leaves is worked out as the store would. For `mailfuse
 * simulate`. One thread; reads no clock, no network, no store.
 *
 * A trace is CSV (RFC 4180) with a line of names first. Columns, in any order:
 *   time        seconds since the start, such as 12.5; never less than in the line before
 *   client      IP address
 *   user        SMTP login, may be empty
 *   sender      may be empty (null path)
 *   subject     UTF-8
 *   recipients  addresses with spaces between them, or a number of different made-up people
 *   size        bytes
 * and, where they are wanted:
 *   over        seconds over which that line's recipients come one by one, a message each
 *   campaign, audience    as X-Mailfuse-Campaign and -Audience declare
 *   tls_name, listener    as match blocks know them
 *   body        decoded text, for content rules
 *   label       ok (by default) or blast: what should have been held
 */
#ifndef SIMULATE_SIMULATE_H
#define SIMULATE_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"

/* One line of a trace, or one row of the history. Strings are good until the next one. */
struct trace_row {
	int64_t at;   /* microseconds since the start */
	int64_t over; /* 0 = one message with all recipients */
	const char *client, *user, *tls_name, *listener, *sender, *subject, *campaign, *body;
	const char *recipients; /* addresses; NULL: `count` made-up ones */
	uint64_t count, size;
	uint32_t audience;
	bool blast; /* label */
};

struct simulation;

struct simulation_options {
	/* Each recipient's verdict as it comes, in the order of arrival; NULL = not wanted. `row`
	 * is the trace's row, from 1, the line of names not counted; verdict: pass, wait, hold,
	 * drop, rewrite, reject. */
	void (*verdict)(void *context, uint64_t row, const char *recipient, const char *verdict,
			const char *rule);
	void *context;
	bool suggest; /* simulation_suggest() will be asked */
};

/* NULL and lines in `errors`. Keeps its own reference to the configuration. */
struct simulation *simulation_new(struct config *config, const struct simulation_options *options,
				  struct buf *errors);
/*
 * The same of a file. With `left_out`, for the recorded history: rules that cannot be judged from
 * it, which knows neither recipients nor bodies, are left out, and their names added there
 * (`burst "repeat" of production, ...`).
 */
struct simulation *simulation_open(const char *path, const struct simulation_options *options,
				   struct buf *left_out, struct buf *errors);
/* Rows in order of time. False and a line in `error` if the row cannot be understood. */
bool simulation_feed(struct simulation *s, const struct trace_row *row, struct buf *error);
/* Lets the clock run until nothing waits any more. */
void simulation_end(struct simulation *s);
void simulation_free(struct simulation *s);

/* What came of it. Times are microseconds. */
struct simulation_rule {
	const char *environment, *rule;
	uint64_t batches, held; /* recipients */
	uint64_t false_held;    /* of these, labelled ok */
	uint64_t leaked;        /* in all batches: left before the trip */
	uint64_t leaked_most;   /* of one batch */
	uint64_t observed;      /* recipients that an alert rule would have held */
	int64_t first_trip;     /* -1 = never */
};
struct simulation_total {
	uint64_t messages, recipients;
	uint64_t passed; /* left at once or after waiting; rewritten ones too */
	uint64_t delayed, held, dropped, rejected;
	int64_t delay_p50, delay_p99, delay_p999, delay_most; /* of what passed, 0 for most */
	uint64_t blast, blast_reached, blast_held;
	int64_t blast_first, blast_alerted; /* first arrival, first trip that held one; -1 = none */
	uint64_t most_copies;               /* that one person got of one subject */
	int64_t span;
};
void simulation_total(const struct simulation *s, struct simulation_total *out);
void simulation_rules(const struct simulation *s,
		      void (*row)(void *context, const struct simulation_rule *r), void *context);

/*
 * Limits for each burst rule of the configuration out of the same rows: a high percentile of what
 * its keys saw in one window, times a factor, rounded up to a number people would write. `why` is
 * one sentence. Nothing is suggested for a rule that saw nothing.
 */
struct simulation_suggestion {
	const char *environment, *rule;
	uint32_t limit, suggested;
	int64_t window;
	uint64_t busiest,
	    percentile; /* recipients in one window of one key: the most, and 99.9 % */
	const char *why;
};
void simulation_suggest(const struct simulation *s,
			void (*row)(void *context, const struct simulation_suggestion *r),
			void *context);

#endif
