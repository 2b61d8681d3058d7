/*
 * What the tests of copies share: a store with mail in it, a copy that is waited for, files.
 */
#ifndef TESTS_UNIT_BACKUP_HELP_H
#define TESTS_UNIT_BACKUP_HELP_H

#include "tests/unit/store_help.h"

enum { BIG_BYTES = 700000 }; /* of big_message(): three chunks */

/* Two recipients, held, with a large body; the first with what the sender asked to be told. */
struct message *big_message(void);
/* B1 holds 3 + 2 and has 1 discarded; 4 pass. */
void fill(struct fixture *f);

/* The done() of a copy; what waits for the next one; none was done. */
void copy_done(struct store_copy *copy);
void wait_for_copy(void);
void forget_copies(void);
/* Makes one, and waits. */
struct store_copy make_copy(struct fixture *f, const char *path);
/* Beside the fixture's store. Fails the test if it is refused. */
const char *copy_path(const struct fixture *f);
struct backup_report make_good_copy(struct fixture *f);

struct buf read_file(const char *path);
void write_file(const char *path, const void *data, size_t len);

#endif
