/*
 * A store on disk that fails where a test says, before SQLite is asked: the backend's own functions
 * behind a few that look at `faults` first.
 */
#ifndef TESTS_UNIT_STORE_FAULTS_H
#define TESTS_UNIT_STORE_FAULTS_H

#include "tests/unit/store_help.h"

struct store_faults {
	uint64_t bad_id; /* adding this message fails */
	enum store_result add, commit, begin;
	int commits_to_fail; /* with `commit`, STORE_BROKEN where nothing else is said */
	bool bad_sync;       /* the next commit's */
	/* What was asked for, counted. */
	size_t commits, shrinks;
};
/* Set between jobs; setup_faulty() clears it. */
extern struct store_faults faults;

/* As setup(), over that backend. */
int setup_faulty(void **state);

#endif
