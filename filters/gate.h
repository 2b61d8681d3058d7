/*
 * The gate: the one function that says what becomes of a message. The relay, `explain` and
 * `simulate` call it. Filters are pure but for the counters: (message, policy, time, counters) in,
 * a verdict per recipient out. No store, no network, no loop.
 */
#ifndef FILTERS_GATE_H
#define FILTERS_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"
#include "mail/message.h"

/* The compiled policy of one configuration: immutable, counted, shared by all threads. */
struct policy;
/* Keeps its own reference to the config. NULL and lines in `errors` ("environment \"x\": allow ...:
 * why"). */
struct policy *policy_new(struct config *config, struct buf *errors);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);
const struct config *policy_config(const struct policy *p);

/* The burst counters: shared by all threads, sharded locks inside, live across reloads. */
struct counters;
struct counters *counters_new(void);
void counters_free(struct counters *c);

struct gate_client {
	const char *listener; /* its name */
	const char *address;  /* numeric IP, text */
	const char *user;     /* "" without login */
	const char *tls_name; /* "" without client certificate */
};

/*
 * Source -> environment: the most specific match wins (user > tls_name > network by prefix length >
 * listener; exact before glob); two equally specific matches of different environments are refused
 * by policy_new() where it can see them, else the non-production one wins. None: the built-in
 * `unknown`. *why (may be NULL) gets a static or policy-owned line for people:
 * `network 10.2.0.0/16`.
 */
const struct config_environment *gate_identify(const struct policy *p, const struct gate_client *c,
					       const char **why);
/* The source's name: login, else TLS name, else address. One of the three pointers of c. */
const char *gate_source(const struct gate_client *c);

/*
 * The recipients filter for one RCPT: fills r->final and r->verdict (PASS, DROP, REJECT, HOLD).
 * Pure. Memory: the message's arena. m->environment and m->source are set.
 */
void gate_recipient(const struct policy *p, struct message *m, struct recipient *r);
/*
 * True if this address, as it is, may be written to from that environment. Pure: what is not said
 * for sure (no such environment, no address) is false.
 */
bool gate_may_reach(const struct policy *p, const char *environment, const char *address);

/* The panic button: one hold somebody pressed. */
enum gate_scope { GATE_SCOPE_EVERYTHING, GATE_SCOPE_ENVIRONMENT, GATE_SCOPE_SOURCE };
struct gate_hold {
	enum gate_scope scope;
	char *name; /* environment or source; "" for everything */
	char *reason;
	int64_t since; /* wall clock: the stream's tripped_at */
};
/* Replaces the list (copied). Any thread; seen by every gate_judge() that starts afterwards. */
void counters_set_holds(struct counters *c, const struct gate_hold *holds, size_t count);
/* True if mail of this environment and source must not move now. Cheap when no hold is set. */
bool counters_is_held(struct counters *c, const char *environment, const char *source);

enum gate_mode {
	GATE_COUNT, /* the relay: arrivals are counted */
	GATE_PEEK   /* explain: counters are read, nothing changes */
};

/*
 * Judges a complete message: recipients' verdicts of gate_recipient() are kept, then panic,
 * capture, unknown, and burst have their say over those that would leave. Fills each verdict and
 * m->edit (for message_apply(); its map reads the policy, so keep it until then). Sets nothing
 * else. mono and wall are now, in microseconds. Thread: any; takes a shard's lock for each key.
 * O(recipients * rules).
 *
 * Burst: all recipients of the message are counted first; where a key is over its limit then, every
 * recipient of this message with that key is held, those under the limit too, because none of
 * them has left.
 *
 * A recipient that passed no gate_recipient() of this policy goes through it here; what it would
 * reject is held, for RCPT was answered.
 */
void gate_judge(const struct policy *p, struct counters *c, struct message *m, int64_t mono,
		int64_t wall, enum gate_mode mode);

/* A decision on the whole batch was made: its stream is counted afresh. */
void counters_forget(struct counters *c, uint64_t stream_hash);

/*
 * After a start: the past is counted again, oldest first, and streams whose batch is still
 * collecting are tripped again. Of m are read: environment, source, sender, subject_key, campaign,
 * and of each recipient `final` and the verdict: PASS and WAIT have left, a HOLD of a burst rule
 * was counted but did not leave, all else was not counted. `rule` as in the verdict; other rules
 * than bursts are ignored.
 */
void counters_replay(struct counters *c, const struct policy *p, const struct message *m,
		     int64_t mono_then);
void counters_restore_trip(struct counters *c, const struct policy *p, const char *environment,
			   const char *rule, uint64_t stream_hash, int64_t tripped_at,
			   int64_t mono_last);

/*
 * Streams whose cooldown has passed since they were last over the limit: calls back with the hash
 * of each and forgets the trip, so that the store can close the batch. No lock is held meanwhile.
 * Called about once a second by one thread; also sweeps idle keys, a 64th of the table a call.
 * O(tripped + keys / 64).
 */
void counters_cool(struct counters *c, int64_t mono,
		   void (*cooled)(void *context, uint64_t stream_hash), void *context);

/* Why, for explain: one line a rule: name, per, limit, count before, count after, verdict. */
void gate_explain_rules(const struct policy *p, struct counters *c, const struct message *m,
			int64_t mono,
			void (*row)(void *context, const char *rule, const char *key,
				    uint32_t limit, int64_t window, uint32_t before, uint32_t after,
				    bool trips),
			void *context);

#endif
