/*
 * Copies of a store: made while it works, refused where they cannot be, and a store again.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "store/sqlite.h"
#include "store/writer.h"
#include "tests/unit/backup_help.h"

/* ---- making one ---- */

/* What the copy's thread does before each step: see __wrap_sqlite3_backup_step(). */
static void (*before_step)(void *context);
static void *step_context;
static int steps, pages_left_first;

int __real_sqlite3_backup_step(sqlite3_backup *backup, int pages);
int __wrap_sqlite3_backup_step(sqlite3_backup *backup, int pages);

int
__wrap_sqlite3_backup_step(sqlite3_backup *backup, int pages)
{
	int code;

	if (before_step != NULL)
		before_step(step_context);
	code = __real_sqlite3_backup_step(backup, pages);
	if (steps++ == 0)
		pages_left_first = sqlite3_backup_remaining(backup);
	return code;
}

static int
teardown_copy(void **state)
{
	unlink(copy_path(*state));
	before_step = NULL;
	steps = 0;
	forget_copies();
	return teardown(state);
}

static void
a_copy_has_what_the_store_has(void **state)
{
	struct fixture *f = *state;
	struct backup_report made, read;
	struct buf error = {0};
	struct stat st;
	char hash[AUDIT_CHAIN_HEX_BYTES];
	int64_t id;

	fill(f);
	made = make_good_copy(f);
	assert_int_equal(made.messages, 4);
	assert_int_equal(made.deliveries, 10);
	assert_int_equal(made.held, 5);
	assert_int_equal(made.discarded, 1);
	assert_int_equal(made.batches, 1);
	assert_int_equal(store_view_audit_head(f->v, &id, hash), STORE_OK);
	assert_int_equal(made.audit_id, id);
	assert_string_equal(made.audit_hash, hash);
	assert_int_equal(made.audit_bad, 0);
	assert_int_equal(stat(copy_path(f), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, made.bytes);
	if (!backup_verify(copy_path(f), &read, &error))
		fail_msg("%s", buf_text(&error));
	assert_memory_equal(&made, &read, sizeof(made));
}

/* A batch that was decided on as a whole: its rows keep the state that they had. */
static void
a_copy_counts_as_its_batches_say(void **state)
{
	struct fixture *f = *state;
	struct backup_report made;

	add_held(f, &test_stream, 10);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	add_held(f, &test_stream, 3);
	made = make_good_copy(f);
	assert_int_equal(made.messages, 2);
	assert_int_equal(made.deliveries, 13);
	assert_int_equal(made.held, 3);
	assert_int_equal(made.discarded, 10);
	unlink(copy_path(f));
	assert_int_equal(decide(f, STORE_PURGE_NOW, 1), STORE_OK);
	made = make_good_copy(f);
	assert_int_equal(made.messages, 1);
	assert_int_equal(made.deliveries, 3);
	assert_int_equal(made.held, 3);
	assert_int_equal(made.discarded, 0);
}

static void
add_one(void *context)
{
	add_passing(context, "production", 1);
}

/* Each step of the copy waits for a commit of the writer: neither holds up the other, and what is
 * written meanwhile is not in the copy. */
static void
a_gate_writes_while_it_is_copied(void **state)
{
	struct fixture *f = *state;
	struct backup_report made;
	int i;

	for (i = 0; i < 20; i++)
		add_message(f, big_message());
	before_step = add_one;
	step_context = f;
	made = make_good_copy(f);
	assert_true(steps >= 5);
	assert_true(steps <= 2 + pages_left_first / 200); /* it never began again */
	assert_int_equal(made.deliveries, 40);
	assert_int_equal(count_deliveries(f, 0, -1), 40 + steps);
	check_counts(f);
}

static void
await_stop(void *context)
{
	struct store *s = context;

	copy_done(NULL); /* says that it has begun */
	while (!atomic_load(&s->copier.stop))
		sched_yield();
}

static void
closing_the_store_stops_it(void **state)
{
	struct fixture *f = *state;
	struct store_copy copy = {.path = copy_path(f), .done = copy_done};
	struct store_copy second = {.path = "/nowhere/at/all", .done = copy_done};

	fill(f);
	before_step = await_stop;
	step_context = f->s;
	store_copy_start(f->s, &copy);
	wait_for_copy();
	store_copy_start(f->s, &second); /* while one is being made */
	assert_int_equal(second.result, STORE_REFUSED);
	assert_non_null(strstr(second.error, "another copy"));
	wait_for_copy();
	fixture_reopen(f);
	assert_int_equal(copy.result, STORE_REFUSED);
	assert_non_null(strstr(copy.error, "stopping"));
	assert_int_not_equal(access(copy_path(f), F_OK), 0);
}

/* ---- where it cannot be made ---- */

static void
a_bad_path_is_refused(void **state)
{
	static const struct {
		const char *path; /* %s: the directory */
		const char *says;
	} rows[] = {
	    {"copy.db", "absolute"},
	    {"", "absolute"},
	    {"%s", "is a directory"},
	    {"%s/", "is a directory"},
	    {"%s/store.db", "exists"},
	    {"%s/missing/copy.db", "there is no directory"},
	    {"%s/store.db/copy.db", "there is no directory"},
	    {"/proc/copy.db", "/proc"},
	    {"%s/link", "exists"},
	    {"%s/beside", "beside-wal exists"},
	};
	struct fixture *f = *state;
	char path[256], link[128], beside[128];
	size_t i;

	fill(f);
	snprintf(link, sizeof(link), "%s/link", f->dir);
	assert_int_equal(symlink("copy.db", link), 0);
	snprintf(beside, sizeof(beside), "%s/beside-wal", f->dir);
	close(open(beside, O_CREAT | O_WRONLY, 0600));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_copy copy;

		snprintf(path, sizeof(path), rows[i].path, f->dir);
		copy = make_copy(f, path);
		assert_int_not_equal(copy.result, STORE_OK);
		if (strstr(copy.error, rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].path, copy.error);
	}
	assert_int_equal(unlink(link), 0);
	assert_int_equal(unlink(beside), 0);
	assert_int_not_equal(access(copy_path(f), F_OK), 0);
}

/* As the gate's own user, who is not root. */
static void
a_directory_of_others_is_refused(void **state)
{
	struct fixture *f = *state;
	const uid_t was = geteuid();
	struct store_copy copy;

	assert_int_equal(chmod(f->dir, 0555), 0);
	if (was == 0)
		assert_int_equal(seteuid(65534), 0);
	copy = make_copy(f, copy_path(f));
	if (was == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(copy.result, STORE_REFUSED);
	assert_non_null(strstr(copy.error, "as the user "));
	assert_non_null(strstr(copy.error, "may not write"));
}

static void
too_little_space_is_seen_before(void **state)
{
	struct fixture *f = *state;
	struct store_copy copy;

	fill(f);
	store_set_limits(f->s, 0, UINT64_MAX / 2);
	copy = make_copy(f, copy_path(f));
	assert_int_equal(copy.result, STORE_FULL);
	assert_non_null(strstr(copy.error, "min_free_space"));
	assert_int_not_equal(access(copy_path(f), F_OK), 0);
	store_set_limits(f->s, 0, 0);
}

/* A limit of the process in place of the disk's end. */
static void
a_full_disk_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, low = {.rlim_cur = 65536};
	struct store_copy copy;

	fill(f);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	low.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	copy = make_copy(f, copy_path(f));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_not_equal(copy.result, STORE_OK);
	assert_non_null(strstr(copy.error, f->dir));
	assert_int_not_equal(access(copy_path(f), F_OK), 0);
}

static void
a_store_in_memory_is_refused(void **state)
{
	struct fixture f;
	struct store_copy copy;

	(void)state;
	fixture_open(&f, &backend_memory);
	copy = make_copy(&f, copy_path(&f));
	assert_int_equal(copy.result, STORE_REFUSED);
	assert_non_null(strstr(copy.error, "memory"));
	fixture_close(&f);
}

static void
a_store_opens_from_a_copy(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	struct buf good;
	sqlite3 *sql;
	uint64_t before;

	fill(f);
	before = count_deliveries(f, 0, -1);
	make_good_copy(f);
	add_held(f, &test_stream, 5); /* what it will not have */
	good = read_file(copy_path(f));
	fixture_replace(f, good.data, good.len);
	assert_int_equal(count_deliveries(f, 0, -1), before);
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.held, 5);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	add_passing(f, "production", 2);
	check_counts(f);
	/* Its seal is gone: nobody takes the store for a copy. */
	assert_int_equal(sqlite3_open(f->path, &sql), SQLITE_OK);
	assert_int_not_equal(sqlite3_exec(sql, "SELECT * FROM seal", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sql);
	unlink(copy_path(f));
	make_good_copy(f);
	buf_free(&good);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown_copy, (void *)&backend_sqlite                         \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_DISK(a_copy_has_what_the_store_has),
	    ON_DISK(a_copy_counts_as_its_batches_say),
	    ON_DISK(a_gate_writes_while_it_is_copied),
	    ON_DISK(closing_the_store_stops_it),
	    ON_DISK(a_bad_path_is_refused),
	    ON_DISK(a_directory_of_others_is_refused),
	    ON_DISK(too_little_space_is_seen_before),
	    ON_DISK(a_full_disk_leaves_nothing),
	    cmocka_unit_test(a_store_in_memory_is_refused),
	    ON_DISK(a_store_opens_from_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
