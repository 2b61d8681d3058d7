/*
 * Telling the audit log, and people, of something that happened, where nobody waits for the answer.
 */
#ifndef STORE_FACT_H
#define STORE_FACT_H

#include "store/store.h"

/* As in struct store_job's `fact`; NULL is "". */
struct fact {
	const char *event, *environment, *object, *who, *reason, *text;
	bool alert;
	const char *keep;
	int64_t number;
};

/* Copies it; a failure is logged. Any thread, until store_close(). */
void fact_tell(struct store *s, const struct fact *f);

#endif
