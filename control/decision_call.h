/*
 * What a call of /v1/release, /v1/discard or /v1/restore asks for. Main loop; struct decision is
 * owned by decisions.c.
 */
#ifndef CONTROL_DECISION_CALL_H
#define CONTROL_DECISION_CALL_H

#include "control/control.h"

struct pattern;
struct request;

/* One call, until its answer. */
struct decision {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request; /* keeps `reason` and `who` alive too */
	enum store_decision what;

	int64_t *batches; /* in the order of the call */
	size_t batch_count, batch_at;
	struct store_delivery_id *ids; /* sorted, each once */
	size_t id_count;
	bool ids_done;

	const char *reason;
	uint64_t first; /* of what is left to take over all steps; 0 = no limit */
	double percent;
	struct pattern *to, *subject;
	uint32_t rate_count;
	int64_t rate_window;
	bool dry_run;

	uint64_t messages, recipients, left; /* so far */
	size_t steps;                        /* done */
};

/*
 * Reads the body of the call into a decision whose `what` is set, and checks it. False after it
 * answered why not; what it has allocated by then is in the decision.
 */
bool decision_read(struct request *r, struct decision *d);

#endif
