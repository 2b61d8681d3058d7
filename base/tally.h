/*
 * Counters per environment and rule, and per alert channel, for GET /metrics. One is made for each
 * pair of names that was ever asked for and lives as long as the process, so whoever keeps the
 * pointer adds without a look-up, and what was counted is still told after a reload took the
 * environment away. Written by any thread, read by control/.
 */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of rule "": ACCEPTED, DELIVERED, DEFERRED, FAILED. Of a channel: DELIVERED, DEFERRED, FAILED. The
 * rest is of rules. */
enum tally_slot {
	TALLY_ACCEPTED, /* recipients of messages answered 250 */
	TALLY_HELD,     /* came into a batch and did not leave at once */
	TALLY_WAITED,   /* beyond a head: leaves later, or is held after all */
	TALLY_DROPPED,
	TALLY_REWRITTEN,
	TALLY_REJECTED,  /* answered 550 at RCPT */
	TALLY_LEAKED,    /* tally_leak() only */
	TALLY_DELIVERED, /* an upstream's 250; an alert that its channel took */
	TALLY_DEFERRED,  /* tries that ended in 4xx or a lost connection */
	TALLY_FAILED,    /* refused for good, or given up */
	TALLY_SLOTS
};
#define TALLY_BIT(slot) (1U << (slot))

/* Beyond so many pairs of names the rest is counted as environment and rule, or channel, of this
 * name, which no configuration can give to anything. */
enum { TALLY_MAX = 4096 };
#define TALLY_OTHER "(other)"

struct tally;

/* Takes a lock: for when a policy is compiled, and for what is rare. Never NULL; copies the names.
 */
struct tally *tally_get(const char *environment, const char *rule);
struct tally *tally_get_channel(const char *channel);
/* Of these slots (TALLY_BIT) a 0 is told too: a counter that starts at 5,000 has no increase. */
void tally_expect(struct tally *t, unsigned slots);
/* One relaxed add. */
void tally_add(struct tally *t, enum tally_slot slot, int64_t n);

/*
 * A leak is counted at the trip, and goes down again by what is called back before it leaves; a
 * counter must not. So what came within the last TALLY_LEAK_SETTLES is not told yet, and what is
 * called back later is taken off the next leak. Net of that it is what the batches say. `now` is
 * clock_mono(). Takes a lock: there is one a trip, and one for each that is called back.
 */
#define TALLY_LEAK_SETTLES (5 * INT64_C(1000000))
void tally_leak(struct tally *t, int64_t n, int64_t now);

/* What one holds. Counters move on while they are read. */
struct tally_reading {
	const char *environment, *rule; /* good for ever; of a channel its name and NULL */
	unsigned expected;              /* slots */
	int64_t values[TALLY_SLOTS];
};
size_t tally_count(void);
/* `i` < tally_count(), in the order in which they were made. */
void tally_read(size_t i, int64_t now, struct tally_reading *out);
/* For what counts for many at once and would look up the same again. */
bool tally_is(const struct tally *t, const char *environment, const char *rule);

#endif
