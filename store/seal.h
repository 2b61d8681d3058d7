/*
 * The seal of a copy: a SHA-256 over every byte of its file, which stands in the file itself, in a
 * row of the table `seal`. While it is computed its own bytes count as zeroes. Found by its place:
 * the one page of that table. Any thread; the caller owns connection and file.
 */
#ifndef STORE_SEAL_H
#define STORE_SEAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/backend.h"

enum { SEAL_BYTES = 32 };

struct seal {
	int64_t made_at; /* wall clock */
	uint64_t offset; /* of the hash in the file */
	unsigned char hash[SEAL_BYTES];
};

/* The table as the file's schema has it. */
extern const char seal_table[];

/* Adds the table to a database, with random bytes where the hash will stand. */
enum store_result seal_add(struct db *db, int64_t made_at);
/* STORE_MISSING if there is none; STORE_BROKEN and a text in db->error if it is not as it was made.
 */
enum store_result seal_find(struct db *db, int file, struct seal *out);
/* What the hash must be. False if the file cannot be read to that size, or *stop was set. */
bool seal_compute(int file, uint64_t bytes, uint64_t offset, const atomic_bool *stop,
		  unsigned char out[SEAL_BYTES]);

#endif
