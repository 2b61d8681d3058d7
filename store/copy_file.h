/*
 * The file of a copy, opened for reading and held against its seal. Nothing of it is trusted: it
 * may be any file. It is opened as one that never changes, so no journal beside it is looked at,
 * and nothing that it brings (views, triggers, functions in its schema) can run. One thread each.
 */
#ifndef STORE_COPY_FILE_H
#define STORE_COPY_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "store/seal.h"

struct copy_file {
	char *path;
	int file;
	struct stat st; /* as it was when it was opened */
	struct db *db;  /* SQLite's connection, see sqlite.h */
	struct seal seal;
	int64_t schema;
	const atomic_bool *stop; /* ends a long check; may be NULL */
};

/* False and the reason: no such file, no copy, of a newer mailfuse, cut short, altered. To be
 * closed in any case. */
bool copy_file_open(struct copy_file *f, const char *path, const atomic_bool *stop,
		    struct buf *error);
/* False and the reason where the file is not the one any more that was opened. */
bool copy_file_is_unchanged(const struct copy_file *f, struct buf *error);
/* A failure of SQLite's to read it. */
void copy_file_explain(const struct copy_file *f, struct buf *error);
void copy_file_close(struct copy_file *f);

#endif
