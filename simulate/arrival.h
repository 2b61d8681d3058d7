/*
 * One row of a trace on its way to become messages: identified, parsed, with the header that a
 * client would have sent. Made by simulation_feed(), kept while its recipients still come (`over`).
 */
#ifndef SIMULATE_ARRIVAL_H
#define SIMULATE_ARRIVAL_H

#include "filters/gate.h"
#include "mail/message.h"
#include "simulate/heap.h"
#include "simulate/simulate.h"

struct arrival {
	struct heap_item item; /* by when its next recipient comes, among others of `over` */
	uint64_t row;          /* from 1 */
	int64_t at, over;
	uint64_t count, done; /* recipients, and how many of them have come */
	bool blast;
	const struct config_environment *environment;
	const char *source;
	/* What is wrong with what it declares: such a message is refused at DATA. NULL if nothing.
	 */
	const char *refused;
	/* Below is arrival.c's own. */
	struct arena arena;
	struct address sender;
	const char *client, *subject, *subject_key, *campaign;
	uint32_t audience;
	const char *body;           /* "" where no content rule looks at it */
	struct address *recipients; /* NULL: made up */
	struct buf header;
	size_t header_shared; /* of `header`: what is the same for every recipient */
};

/* False and a line in `error`; free it either way. The environment is the policy's. */
bool arrival_init(struct arrival *a, const struct policy *p, const struct trace_row *row,
		  uint64_t number, struct buf *error);
void arrival_free(struct arrival *a);
/* When the next recipient comes. */
int64_t arrival_next(const struct arrival *a);
/*
 * Fills `m` with the next message: all recipients, at most ARRIVAL_RECIPIENTS, or with `over` one.
 * What `m` held before goes; its strings are good until the next call, and while `a` is.
 */
enum { ARRIVAL_RECIPIENTS = 1000 }; /* as listeners take them by default */
void arrival_fill(struct arrival *a, struct message *m);

#endif
