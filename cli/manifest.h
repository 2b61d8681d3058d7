/*
 * manifest.json of an exported batch. It is JSON, written and read line by line, so that neither
 * needs more memory than one message's line:
 *
 *	{"mailfuse_export":1,"exported_at":"...","batch":{...},"messages":[
 *	{"id":"01JD...","file":"01JD....eml","bytes":812,"sha256":"...", ...,"deliveries":[...]},
 *	{...}
 *	],"count":2}
 *
 * Messages are in the order of their ids. One thread; whoever opens it closes it.
 */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"

enum { MANIFEST_LINE_MAX = 4 << 20, MANIFEST_HASH_BYTES = 65 };

/* Reads the head from `file`, which stays the caller's. NULL and one sentence in `error`. */
struct manifest *manifest_open(FILE *file, struct buf *error);
void manifest_close(struct manifest *m);
const json_t *manifest_batch(const struct manifest *m);
/*
 * The next message, good until the next call; NULL at the end, or with a sentence in `error`. Its
 * file is its id and ".eml", nothing else; ids rise; sha256 is 64 hexadecimal digits; bytes is a
 * count; each delivery has number, recipient and state, and their numbers rise.
 */
const json_t *manifest_next(struct manifest *m, struct buf *error);

/* Writing: head, each message, end. False where the disk is full, or what is it. */
bool manifest_write_head(FILE *file, const char *exported_at, const json_t *batch);
bool manifest_write_message(FILE *file, const json_t *message, uint64_t number);
bool manifest_write_end(FILE *file, uint64_t count);

/* SHA-256 as hexadecimal digits, in pieces. */
struct manifest_hash;
struct manifest_hash *manifest_hash_new(void);
void manifest_hash_add(struct manifest_hash *h, const void *data, size_t len);
/* Frees it. */
void manifest_hash_end(struct manifest_hash *h, char out[MANIFEST_HASH_BYTES]);

#endif
