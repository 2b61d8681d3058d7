/*
 * The batches, messages and deliveries that a change is about: words of the command line, or lines
 * of standard input.
 */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"

/* The daemon takes so many in one call; what one command takes is bounded by its memory. */
enum { IDS_PER_CALL = 10000, IDS_MAX = 1000000 };

/* Each once, in their order, as the daemon writes them. Zero-initialised is empty. */
struct ids {
	json_t *list; /* of strings */
	json_t *seen; /* object: their names */
};

/* A word of the command line. False, and a sentence in `error`, if it is no id. */
bool ids_add(struct ids *ids, const char *word, struct buf *error);
/*
 * A file of ids, one a line: blank lines and what follows "#" do not count, and of a line of JSON,
 * as `mailfuse messages --json` prints it, the "id" does. False, and a sentence that names the
 * line, at the first one that is neither; what stood before it has been added.
 */
bool ids_read(struct ids *ids, FILE *in, struct buf *error);
size_t ids_count(const struct ids *ids);
/* Those from `at` on, for one call: at most IDS_PER_CALL. A new array. */
json_t *ids_part(const struct ids *ids, size_t at);
void ids_free(struct ids *ids);

#endif
