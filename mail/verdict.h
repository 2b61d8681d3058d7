/*
 * What the gate says of one recipient. Made by filters/, carried out by relay/ and store/.
 */
#ifndef MAIL_VERDICT_H
#define MAIL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict_action {
	VERDICT_PASS,  /* goes to the upstream, to `final`, which may be a rewritten address */
	VERDICT_WAIT,  /* beyond the head rate: leaves after `settle` unless its stream trips */
	VERDICT_HOLD,  /* joins a batch */
	VERDICT_DROP,  /* 250, kept for keep_dropped, never leaves */
	VERDICT_REJECT /* 550 5.7.1 at RCPT */
};

/*
 * A stream as the store knows it: everything that identifies a batch, and what the rule had seen
 * when it tripped. Shared by all recipients of one message that the same key holds; in the
 * message's arena.
 */
struct verdict_stream {
	uint64_t hash;   /* of environment, rule and key; never 0 */
	const char *key; /* for people: `source=10.2.0.7 subject="your order #"` */
	const char *source, *sender,
	    *subject;       /* what the batch shows; "" where the key has no such part */
	int64_t tripped_at; /* clock_steady(); a batch is joined only under the same hash and trip
			     */
	uint32_t counted;   /* deliveries of the stream in the window before this message */
	uint32_t limit;     /* 0 where the rule has none */
	int64_t window;     /* microseconds */
	/* This message made it trip: mail of it that has not left is called back. Never of an
	 * audience, which lets through what is declared, and holds the surplus only. */
	bool trips_now;
};

/* One counter that counted a recipient; kept with the delivery until it has ended. */
struct verdict_key {
	uint64_t hash;  /* of the stream */
	uint32_t stamp; /* of the counter's last save, see counters_save() */
	/* The rule has a head: what a relay loop has in hand is called back too when it trips. */
	bool settles;
};

struct verdict {
	enum verdict_action action;
	/* "burst volume", "content marker", "audience", "recipients", "unknown", "panic",
	 * "capture"; NULL for PASS */
	const char *rule;
	const char *reason;                  /* one line for people; may be NULL */
	const struct verdict_stream *stream; /* WAIT and HOLD */
	int64_t settle;                      /* WAIT: microseconds from now */
	/* Every counter of a rule that holds (not those that only observe) that counted it, in the
	 * message's arena; none for what was not counted. */
	const struct verdict_key *keys;
	size_t key_count;
	const char
	    *observed; /* a rule with action = alert that would have held: its name, else NULL */
	const struct verdict_stream *observed_stream;
};

#endif
