/*
 * A drill's blast: many synthetic messages through a real listener, over several connections at
 * once, as an application that has gone wrong would send them.
 */
#ifndef CLI_DRILL_BLAST_H
#define CLI_DRILL_BLAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct drill_sink;

struct drill_blast {
	const char *address; /* 127.0.0.1:2525 */
	const char *helo;    /* the drill's secret name */
	const char *tls;     /* of the listener: off, starttls, required, implicit */
	const char *id, *domain;
	uint32_t recipients; /* drill-000001@domain and so on */
	uint32_t each;       /* recipients of one message */
	uint32_t connections;
	struct drill_sink *sink; /* is served meanwhile */
	bool (*stop)(void);      /* asked now and then: give up? */
	/* out */
	uint32_t accepted; /* recipients */
	int64_t first_at;  /* wall clock, when the first message was begun */
};

/* False and a reason in `error` as soon as one is not accepted. */
bool drill_blast_run(struct drill_blast *b, struct buf *error);

#endif
