/*
 * Room for mail in the store: its size against quarantine_limit, the disk against min_free_space,
 * and what the last write said. Measured by the writer's thread about once a second, and as new
 * mail makes the store grow; read by any thread.
 */
#ifndef STORE_ROOM_H
#define STORE_ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* Why there is none; ROOM_OK is 0. ROOM_LOST stays: a sync failed (see room_note_lost()). */
enum room_state { ROOM_OK, ROOM_OVER_LIMIT, ROOM_DISK_LOW, ROOM_DISK_FULL, ROOM_BROKEN, ROOM_LOST };

/* The store's; nobody else looks inside. */
struct room {
	_Atomic uint64_t size_limit, min_free_space; /* of the configuration; 0 = none */
	_Atomic uint64_t used, free;                 /* as measured last; free: STORE_UNMEASURED */
	atomic_int measured;                         /* enum room_state, by size and free space */
	atomic_int trouble;                          /* of the last write, until one succeeds */
	atomic_uint lacks; /* how often there began to be none for want of space */
	atomic_int lack;   /* enum room_state, of the last of those */
	size_t unchecked;  /* bytes of new mail since the size was looked at; the writer's */
};

/* What follows is for the writer's thread, or for main before it starts. */

void room_measure(struct store *s);
/* `more` bytes of new mail are in the store. */
void room_note_size(struct store *s, size_t more);
/* Of a write: a failure ends the taking of mail until one succeeds. */
void room_note_failure(struct store *s, enum store_result r);
void room_note_success(struct store *s);
/* True from a failed sync on. */
bool room_note_lost(struct store *s);
/* By the last measurement: whether new mail may be written. */
bool room_is_measured(const struct store *s);
/* The last write failed. */
bool room_has_trouble(const struct store *s);

#endif
