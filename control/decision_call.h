/*
 * What a call of /v1/release, /v1/discard, /v1/restore or /v1/purge asks for. Main loop; struct
 * decision is owned by decisions.c.
 */
#ifndef CONTROL_DECISION_CALL_H
#define CONTROL_DECISION_CALL_H

#include "control/control.h"
#include "store/page.h"

struct pattern;
struct policy;
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
	bool *asked;                   /* of each batch: it waits for a second person */
	struct store_delivery_id *ids; /* sorted, each once */
	size_t id_count;
	bool ids_done;
	bool ids_are_drill; /* all of them are mail of a drill */

	const char *reason;
	uint64_t first; /* of what is left to take over all steps; 0 = no limit */
	double percent;
	struct pattern *to, *subject;
	uint32_t rate_count;
	int64_t rate_window;
	struct store_rings rings;
	int64_t stream_for; /* microseconds; 0 = no ruling */
	struct store_page page;
	bool dry_run;
	struct policy *policy; /* in force when it came; its own reference */

	/* so far */
	uint64_t messages, recipients, left;
	uint64_t released; /* of the recipients: at once, not with a later ring or approval */
	uint32_t approvals_missing;
	int64_t expires_at; /* wall clock: the first request to end; 0 = nobody is asked */
	size_t steps;       /* done */
};

/*
 * Reads the body of the call into a decision whose `what` is set, and checks it. False after it
 * answered why not; what it has allocated by then is in the decision.
 */
bool decision_read(struct request *r, struct decision *d);

#endif
