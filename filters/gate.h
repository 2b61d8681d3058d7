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
#include "base/clock.h"
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
/* Another cap than COUNTERS_KEYS_MAX (counter_keys). Any thread; keys that are there stay. */
void counters_set_cap(struct counters *c, size_t cap);

struct gate_client {
	const char *listener; /* its name */
	const char *address;  /* numeric IP, text */
	const char *user;     /* "" without login */
	const char *tls_name; /* "" without client certificate */
	const char *helo;     /* said in EHLO; NULL = not known. Only a drill goes by it */
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
/* True if this is the client of the drill under way: it knows the name that was given to it for
 * EHLO. gate_identify() then says CONFIG_DRILL whatever matches; that is its source's name too. */
bool gate_is_drill(const struct policy *p, const struct gate_client *c);

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

/*
 * Metrics. Where mail of that environment is counted whatever becomes of it; good for ever. A
 * message is counted once it is stored, under the policy that judged it; a recipient that was
 * rejected at once. Any thread.
 */
struct tally;
struct tally *gate_tally(const struct policy *p, const char *environment);
void gate_count(const struct policy *p, const struct message *m);
void gate_count_rejected(const struct policy *p, const char *environment);

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
 * capture, unknown, content, audience and burst have their say over those that would leave. Every
 * rule counts all of them, whatever another says. HOLD beats WAIT beats PASS; among HOLDs the first
 * rule in that order (and in the file's) wins, among WAITs the longest settle. Fills each verdict
 * and m->edit (for message_apply(); its map reads the policy, so keep it until then). Sets nothing
 * else. mono and wall are now, in microseconds. Thread: any; takes a shard's lock for each key.
 * O(recipients * rules).
 *
 * Burst and content: all recipients of the message are counted first; where a key is over its limit
 * then, every recipient of this message with that key is held, those under the limit too, because
 * none of them has left. Audience: only those beyond the declared number are held. Where earlier
 * rules hold all recipients of a key, it is counted but does not trip, for the trip would have no
 * batch: the next recipient that they do not hold makes it trip. All texts are in the message's
 * arena, or static.
 *
 * A recipient that passed no gate_recipient() of this policy goes through it here; what it would
 * reject is held, for RCPT was answered.
 */
void gate_judge(const struct policy *p, struct counters *c, struct message *m, int64_t mono,
		int64_t wall, enum gate_mode mode);

/* How much of a stream has come lately: recipients that its counter still knows of, the time in
 * which they came, up to now, and the monotonic time of the last, as exact as the counter keeps
 * them. False if it knows of none. Any thread; one shard's lock. */
bool counters_rate(struct counters *c, uint64_t stream_hash, int64_t mono, uint32_t *count,
		   int64_t *window, int64_t *last);

/* True if content rules of that environment look into bodies: intake keeps message.sample. */
bool gate_wants_body(const struct policy *p, const char *environment);

/* A decision on the whole batch was made: its stream is counted afresh. */
void counters_forget(struct counters *c, uint64_t stream_hash);

/* `n` of the last arrivals did not leave after all: they are no leak of this stream. Any thread, as
 * the three below; one shard's lock. */
void counters_unleave(struct counters *c, uint64_t hash, uint32_t n);
/* The same for one that was counted at that time (gate_judge()'s `wall`), perhaps long ago: it was
 * called back. And the opposite: it was not, after all. */
void counters_recall(struct counters *c, uint64_t hash, int64_t counted_at);
void counters_unrecall(struct counters *c, uint64_t hash, int64_t counted_at);
/*
 * How many of what a trip of the stream counted as left before it (verdict_stream.counted) were
 * taken back since: counted - unleft is the trip's leak, as far as it is known now. Below 0 where
 * some that the trip did not count any more do leave. `tripped_at` names the trip; 0 for one that
 * is not the stream's last, or of a key that is forgotten.
 */
int64_t counters_unleft(struct counters *c, uint64_t hash, int64_t tripped_at);
/* The same for arrivals that were not accepted after all: they never happened, nor did a trip that
 * held nothing else. `left` of them had been counted as leaving. */
void counters_uncount(struct counters *c, uint64_t hash, uint32_t n, uint32_t left);

/*
 * The first of these keys that has tripped, with its trip; NULL if none. `settling`: only keys of
 * rules that have a head. For what a relay loop is about to hand to an upstream. Next to nothing
 * while no key at all is tripped, else a shard's lock for each key.
 */
const struct verdict_key *counters_find_trip(struct counters *c, const struct verdict_key *keys,
					     size_t count, bool settling, int64_t *tripped_at);

/*
 * After a start: the past is counted again, oldest first, and streams whose batch is still
 * collecting are tripped again. Of m are read: environment, source, sender, subject_key, campaign,
 * audience and of each recipient `final` and the verdict: PASS and WAIT have left, a HOLD of a
 * content, audience or burst rule was counted but did not leave, all else was not counted. The
 * verdict's keys say what was counted, and with what stamp (see counters_save): what a save has in
 * it already is not counted twice.
 */
void counters_replay(struct counters *c, const struct policy *p, const struct message *m,
		     int64_t mono_then);
/* While the past is counted again, in the order of time with it: a decision made then. Without
 * effect on what was saved later. */
void counters_replay_forget(struct counters *c, uint64_t stream_hash, int64_t mono_then);
void counters_restore_trip(struct counters *c, const struct policy *p, const char *environment,
			   const char *rule, uint64_t stream_hash, int64_t tripped_at,
			   int64_t mono_last);

/*
 * Saving. Windows longer than COUNTERS_REPLAY_MAX are saved key by key; shorter ones come back by
 * counters_replay() alone, so deliveries must be kept for that long. A save of a shard gives every
 * such key that has changed since the last, and raises the shard's stamp: what was counted before
 * has a lower stamp (struct verdict_key) and is in the save. If the save could not be written,
 * counters_save_failed() makes the next one give the same keys again. One thread saves.
 *
 * The replay must go back COUNTERS_REPLAY_MAX before the newest of the loaded saves, and some
 * minutes, which a round over all shards takes; so it is however long the daemon was stopped since.
 */
enum { COUNTERS_SHARDS = 64 }; /* a hash belongs to the shard of its highest six bits */
#define COUNTERS_REPLAY_MAX CLOCK_HOUR
/* `len` 0 = nothing of this key counts any more. idle_at: monotonic; it may be forgotten then.
 * `row` is called under the shard's lock: it only copies. Returns the shard's new stamp. Keys that
 * are tripped are saved whatever their window. */
uint32_t counters_save(struct counters *c, unsigned shard, int64_t mono,
		       void (*row)(void *context, uint64_t hash, int64_t idle_at, const char *data,
				   size_t len),
		       void *context);
void counters_save_failed(struct counters *c, unsigned shard);
/* Before the replay: a saved key, `shift` to be added to its monotonic times; false if it cannot be
 * read. And each shard's stamp as it was saved. With a shift other than 0 the next save of the
 * shard gives all its keys, so that all that is saved is of one clock. */
bool counters_load(struct counters *c, uint64_t hash, const char *data, size_t len, int64_t shift);
void counters_load_stamp(struct counters *c, unsigned shard, uint32_t stamp);

/*
 * Streams whose cooldown has passed since they were last over the limit: calls back with the hash
 * of each and forgets the trip, so that the store can close the batch. No lock is held meanwhile.
 * Called about once a second by one thread; also sweeps idle keys, a 64th of the table a call.
 * O(tripped + keys / 64).
 */
void counters_cool(struct counters *c, int64_t mono,
		   void (*cooled)(void *context, uint64_t stream_hash), void *context);

/* Why, for explain: one row for each key of each rule, in the order in which they judge. */
struct gate_rule_row {
	const char *rule; /* "burst volume" */
	const char *key;  /* as in a batch */
	bool applies;     /* false: it does not count this message; `note` says why */
	const char *note; /* "Subject matches", "no audience is declared", ""; for people */
	uint32_t limit;
	int64_t window;
	uint32_t before, after; /* recipients counted in the window */
	uint32_t head, head_before;
	int64_t head_window, settle;
	bool holds; /* else it only observes */
	bool trips;
};
void gate_explain_rules(const struct policy *p, struct counters *c, const struct message *m,
			int64_t mono, void (*row)(void *context, const struct gate_rule_row *row),
			void *context);

#endif
