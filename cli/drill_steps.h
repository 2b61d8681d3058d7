/*
 * One drill of one environment, from the first look to the report: drill.c says which, here is what
 * happens in it.
 */
#ifndef CLI_DRILL_STEPS_H
#define CLI_DRILL_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "cli/client.h"

struct drill_sink;

enum { DRILL_ID_BYTES = 9, DRILL_RECIPIENTS_MAX = 20000 };

/* The rule that has to hold the blast. */
struct drill_rule {
	const char *name, *limit_text; /* of `begun`; name NULL = there is none */
	uint32_t limit, head;
	int64_t window, head_window, settle;
};

struct drill {
	struct client *client;
	const char *environment, *listener; /* listener NULL = the first */
	int64_t timeout;                    /* of each wait; microseconds */
	bool keep;                          /* the batch stays */
	bool quiet;                         /* nothing is printed: the report is JSON */
	bool (*stop)(void);                 /* somebody pressed Ctrl-C */

	char id[DRILL_ID_BYTES];
	char *domain;
	struct drill_sink *sink;
	json_t *begun; /* what mailfused said; NULL = the drill is not under way */
	struct drill_rule rule;
	uint32_t recipients;
	int64_t blast_at;    /* wall clock, when the first was sent */
	char batch[24];      /* "" = none */
	int64_t held;        /* in it, before the first ring */
	int64_t leaked;      /* to the sink, before it was held */
	int64_t bound;       /* that at most may leak */
	int64_t released;    /* of the first ring */
	int64_t sent_before; /* of earlier drills */
	bool lost;           /* mailfused does not answer, or somebody wants an end */

	json_t *steps; /* [{"step","passed","text","seconds"}] */
	unsigned wrong;
	int64_t started_at, step_at; /* monotonic */
};

/* Runs all of it; d->steps, d->wrong and the rest are the result. */
void drill_go(struct drill *d);
void drill_clear(struct drill *d);

/* The rule of `rules` (bursts as in status) that the blast trips first. */
void drill_choose_rule(const json_t *rules, struct drill_rule *rule);
/* How many recipients may leave, if the rule trips so long after the first: what it lets pass at
 * once, and whatever waited out its settle time. */
int64_t drill_bound(const struct drill_rule *rule, int64_t trip_after);

#endif
