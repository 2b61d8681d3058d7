/*
 * Streams: which deliveries belong together. Their hashes are stored and must be the same after a
 * restart, so nothing random is in them. Pure; memory is the message's arena.
 */
#ifndef FILTERS_STREAM_H
#define FILTERS_STREAM_H

#include <stdint.h>

#include "mail/message.h"

/*
 * The hash over environment, rule and the parts of `per` (enum config_per), each with its length;
 * never 0. `recipient` is used where per has it: ASCII letters of it and of the sender are folded.
 * NULL is "".
 */
uint64_t stream_hash(const char *environment, const char *rule, unsigned per,
		     const struct message *m, const char *recipient);

/*
 * The same in steps, for who counts many. The start: of environment and rule; the one for mail of
 * declared campaigns, which a rule counts apart; what the rule counts where there is no place for
 * more keys. Then the parts of `per`, all at once or first those that all recipients share.
 */
uint64_t stream_hash_rule(const char *environment, const char *rule);
uint64_t stream_hash_declared(uint64_t start);
uint64_t stream_hash_overflow(uint64_t start);
uint64_t stream_hash_parts(uint64_t start, unsigned per, const struct message *m,
			   const char *recipient);

/*
 * The stream for the store and for people; the caller adds what a rule had counted. Key:
 * `source=10.2.0.7 subject="your order #"`, control characters and quotes escaped, long values cut.
 */
struct verdict_stream *stream_new(struct message *m, uint64_t hash, unsigned per,
				  const char *recipient);
/* Only the key. Adds to `out`. */
void stream_format_key(const struct message *m, unsigned per, const char *recipient,
		       struct buf *out);
/* One value as it stands in a key: bare where it is plain, else quoted. */
void stream_format_value(const char *value, struct buf *out);

#endif
