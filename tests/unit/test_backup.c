/*
 * Copies of a store: made while it works, refused where they cannot be, found out where anything of
 * them is not as it was written, and read.
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
#include "store/seal.h"
#include "store/sqlite.h"
#include "store/writer.h"
#include "tests/unit/store_help.h"

enum { BIG_BYTES = 700000 }; /* three chunks */

/* ---- making one ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
} answer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void
copy_done(struct store_copy *copy)
{
	(void)copy;
	pthread_mutex_lock(&answer.lock);
	answer.done = true;
	pthread_cond_signal(&answer.wake);
	pthread_mutex_unlock(&answer.lock);
}

static void
wait_for_copy(void)
{
	pthread_mutex_lock(&answer.lock);
	while (!answer.done)
		pthread_cond_wait(&answer.wake, &answer.lock);
	answer.done = false;
	pthread_mutex_unlock(&answer.lock);
}

static struct store_copy
make_copy(struct fixture *f, const char *path)
{
	struct store_copy copy = {.path = path, .done = copy_done};

	store_copy_start(f->s, &copy);
	wait_for_copy();
	return copy;
}

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

static struct message *
big_message(void)
{
	struct message *m =
	    make_message("staging", "big", 2, VERDICT_HOLD, "burst volume", &test_stream);
	char *body = mem_alloc(BIG_BYTES);
	size_t i;

	for (i = 0; i < BIG_BYTES; i++)
		body[i] = (char)('a' + i % 23);
	chunks_clear(&m->body);
	chunks_add(&m->body, body, BIG_BYTES);
	m->body_bytes = BIG_BYTES;
	m->recipients[0].notify = 5;
	m->recipients[0].orcpt = "rfc822;first@example.net";
	free(body);
	return m;
}

/* B1 holds 3 + 2 and has 1 discarded; 4 pass. */
static void
fill(struct fixture *f)
{
	struct store_job job;
	struct store_delivery_id one;

	add_held(f, &test_stream, 3);
	one = (struct store_delivery_id){add_held(f, &test_stream, 1), 1};
	add_message(f, big_message());
	add_passing(f, "production", 4);
	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = &one;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static const char *
copy_path(const struct fixture *f)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/copy.db", f->dir);
	return path;
}

static int
teardown_copy(void **state)
{
	unlink(copy_path(*state));
	before_step = NULL;
	steps = 0;
	answer.done = false;
	return teardown(state);
}

static struct backup_report
make_good_copy(struct fixture *f)
{
	struct store_copy copy = make_copy(f, copy_path(f));

	if (copy.result != STORE_OK)
		fail_msg("%s", copy.error);
	return copy.report;
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

/* ---- finding out ---- */

static struct buf
read_file(const char *path)
{
	struct buf out = {0};
	FILE *in = fopen(path, "rb");
	char data[65536];
	size_t n;

	assert_non_null(in);
	while ((n = fread(data, 1, sizeof(data), in)) > 0)
		buf_add(&out, data, n);
	fclose(in);
	return out;
}

static void
write_file(const char *path, const void *data, size_t len)
{
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static void
expect_refused(const char *path, const char *says)
{
	struct backup_report report;
	struct buf error = {0};
	struct backup *b = backup_open(path, &report, &error);

	if (b != NULL || strstr(buf_text(&error), says) == NULL)
		fail_msg("%s: wanted \"%s\", got \"%s\"", path, says, buf_text(&error));
	buf_clear(&error);
	assert_false(backup_verify(path, &report, &error) && report.schema == 4);
	buf_free(&error);
}

static void
a_flipped_bit_is_found(void **state)
{
	struct fixture *f = *state;
	struct buf good;
	unsigned seed = 20261121;
	int i;

	fill(f);
	make_good_copy(f);
	good = read_file(copy_path(f));
	for (i = 0; i < 300; i++) {
		/* All of the first page's header, then anywhere. */
		size_t at = i < 100 ? (size_t)i : (size_t)(rand_r(&seed) % (int)good.len);
		char flip = (char)(1 << rand_r(&seed) % 8);

		good.data[at] ^= flip;
		write_file(copy_path(f), good.data, good.len);
		expect_refused(copy_path(f), "");
		good.data[at] ^= flip;
	}
	write_file(copy_path(f), good.data, good.len);
	buf_free(&good);
}

static void
a_cut_copy_is_found(void **state)
{
	struct fixture *f = *state;
	struct backup_report report;
	struct buf good, error = {0};
	unsigned seed = 5;
	int i;

	fill(f);
	make_good_copy(f);
	good = read_file(copy_path(f));
	for (i = 0; i < 120; i++) {
		size_t len =
		    i < 100 ? (size_t)(rand_r(&seed) % (int)good.len)
			    : good.len / SQLITE_PAGE_BYTES * (size_t)i / 120 * SQLITE_PAGE_BYTES;

		write_file(copy_path(f), good.data, len);
		expect_refused(copy_path(f), "");
	}
	/* One byte more, and the right ones. */
	buf_add_char(&good, '\0');
	write_file(copy_path(f), good.data, good.len);
	expect_refused(copy_path(f), "not whole");
	write_file(copy_path(f), good.data, good.len - 1);
	assert_true(backup_verify(copy_path(f), &report, &error));
	buf_free(&good);
}

/* As somebody would who knows how: changes it, and seals it again. */
static void
alter(const char *path, const char *sql)
{
	struct sqlite_db db = {.lock = -1};
	struct seal seal;
	struct stat st;
	unsigned char hash[SEAL_BYTES];
	int file = open(path, O_RDWR);

	assert_int_equal(sqlite3_open(path, &db.sql), SQLITE_OK);
	sqlite3_db_config(db.sql, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	if (sqlite3_exec(db.sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db.sql));
	if (seal_find(&db.base, file, &seal) == STORE_OK) {
		assert_int_equal(fstat(file, &st), 0);
		assert_true(seal_compute(file, (uint64_t)st.st_size, seal.offset, NULL, hash));
		assert_int_equal(pwrite(file, hash, SEAL_BYTES, (off_t)seal.offset), SEAL_BYTES);
	}
	while (db.cached > 0)
		sqlite3_finalize(db.cache[--db.cached].statement);
	assert_int_equal(sqlite3_close(db.sql), SQLITE_OK);
	close(file);
}

static void
what_is_sealed_again_is_checked(void **state)
{
	static const struct {
		const char *sql, *says;
	} rows[] = {
	    {"CREATE VIEW v AS SELECT 1", "\"v\" besides"},
	    {"CREATE TRIGGER t AFTER INSERT ON batch BEGIN DELETE FROM message; END",
	     "trigger \"t\""},
	    {"CREATE INDEX own ON batch(hex(key))", "\"own\""},
	    {"DROP TABLE origin", "schema"},
	    {"ALTER TABLE batch ADD COLUMN more TEXT", "\"batch\""},
	    {"DROP TABLE seal; CREATE VIEW seal AS SELECT 1 AS made_at, x'00' AS hash", "form"},
	    {"UPDATE seal SET hash = 'short'", "no SHA-256"},
	    {"DELETE FROM seal", "no seal"},
	    {"PRAGMA user_version = 99", "newer mailfuse"},
	    {"PRAGMA application_id = 7", "another program"},
	    {"PRAGMA user_version = 3", "schema"},
	    {"PRAGMA writable_schema = ON;"
	     "UPDATE sqlite_master SET rootpage = 3 WHERE name = 'seal'",
	     "damaged"},
	    {"PRAGMA writable_schema = ON;"
	     "DELETE FROM sqlite_master WHERE name = 'delivery_due'",
	     ""},
	};
	struct fixture *f = *state;
	struct buf good;
	size_t i;

	fill(f);
	make_good_copy(f);
	good = read_file(copy_path(f));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_file(copy_path(f), good.data, good.len);
		alter(copy_path(f), rows[i].sql);
		expect_refused(copy_path(f), rows[i].says);
	}
	buf_free(&good);
}

static void
an_altered_audit_log_is_told(void **state)
{
	static const struct {
		const char *sql;
		int64_t bad;
	} rows[] = {
	    {"UPDATE audit SET who = 'nobody' WHERE id = 1", 1},
	    {"UPDATE audit SET reason = CAST('x' AS BLOB) WHERE id = 2", 2},
	    {"DELETE FROM audit WHERE id = 1", 1},
	    {"DELETE FROM audit WHERE id = 2", 2},
	    {"DELETE FROM audit_head", 3},
	    {"INSERT INTO audit SELECT 3, at, who, action, object, reason, detail, hash FROM audit"
	     " WHERE id = 2",
	     3},
	};
	struct fixture *f = *state;
	struct backup_report report;
	struct buf good, error = {0};
	size_t i;

	fill(f);
	make_good_copy(f);
	good = read_file(copy_path(f));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_file(copy_path(f), good.data, good.len);
		alter(copy_path(f), rows[i].sql);
		if (!backup_verify(copy_path(f), &report, &error))
			fail_msg("%s", buf_text(&error));
		if (report.audit_bad != rows[i].bad)
			fail_msg("%s: %d", rows[i].sql, (int)report.audit_bad);
	}
	buf_free(&good);
}

static void
what_is_no_copy_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *path = copy_path(f);

	fill(f);
	expect_refused(path, "cannot read");
	expect_refused(f->dir, "no regular file");
	expect_refused("/dev/zero", "no regular file");
	expect_refused("", "cannot read");
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(path, "no regular file");
	unlink(path);
	write_file(path, "", 0);
	expect_refused(path, "is empty");
	write_file(path, "From: a@example.com\r\n", 21);
	expect_refused(path, "no copy of a mailfuse store");
	unlink(path);
	alter(path, "CREATE TABLE t(x)");
	expect_refused(path, "another program");
	/* A store itself, in use and at rest. */
	expect_refused(f->path, "no seal");
	fixture_reopen(f);
	expect_refused(f->path, "no seal");
}

/* Its schema is known: it is whole, but this program does not read it. */
static void
an_older_copy_is_whole_and_not_read(void **state)
{
	struct fixture *f = *state;
	struct backup_report report;
	struct buf error = {0};
	char sql[8192] = "";
	sqlite3 *db;
	int i;

	assert_int_equal(sqlite3_open(copy_path(f), &db), SQLITE_OK);
	for (i = 1; i <= 3; i++)
		assert_int_equal(sqlite3_exec(db, sqlite_schema_step(i), NULL, NULL, NULL),
				 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, seal_table, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	snprintf(sql, sizeof(sql),
		 "PRAGMA user_version = 3; PRAGMA application_id = %d;"
		 "INSERT INTO seal VALUES(1, 5, randomblob(32))",
		 SQLITE_APPLICATION_ID);
	alter(copy_path(f), sql);
	if (!backup_verify(copy_path(f), &report, &error))
		fail_msg("%s", buf_text(&error));
	assert_int_equal(report.schema, 3);
	assert_null(backup_open(copy_path(f), &report, &error));
	assert_non_null(strstr(buf_text(&error), "start mailfused once"));
	buf_free(&error);
}

/* ---- reading ---- */

static void
see_batch(void *context, const struct store_batch *b)
{
	struct batch_numbers *out = context;

	out->id = b->id;
	out->held = b->held;
	out->discarded = b->discarded;
	assert_string_equal(b->environment, "staging");
	assert_string_equal(b->source, "10.2.0.7");
}

struct seen {
	struct fixture *f;
	size_t messages, held, discarded, stop_after;
	uint64_t last;
	bool touch;
};

static bool
see_message(void *context, const struct message *m, const struct store_delivery *deliveries,
	    size_t count)
{
	struct seen *s = context;
	struct buf whole = {0}, wanted = {0};
	const struct chunk *chunk;
	bool cut;
	size_t i;

	assert_true(m->id > s->last);
	s->last = m->id;
	s->messages++;
	assert_int_equal(m->recipient_count, count);
	for (i = 0; i < count; i++) {
		s->held += deliveries[i].state == STORE_HELD;
		s->discarded += deliveries[i].state == STORE_DISCARDED;
		assert_string_equal(m->recipients[i].address.text, deliveries[i].recipient);
		assert_int_equal(deliveries[i].batch, 1);
	}
	buf_add(&whole, m->header.data, m->header.len);
	buf_add_text(&whole, "\r\n");
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&whole, chunk->data, chunk->len);
	assert_int_equal(store_view_raw(s->f->v, m->id, SIZE_MAX, &wanted, &cut), STORE_OK);
	assert_int_equal(whole.len, wanted.len);
	assert_memory_equal(whole.data, wanted.data, whole.len);
	if (m->body_bytes == BIG_BYTES) {
		assert_int_equal(m->recipients[0].notify, 5);
		assert_string_equal(m->recipients[0].orcpt, "rfc822;first@example.net");
	}
	buf_free(&whole);
	buf_free(&wanted);
	if (s->touch)
		assert_int_equal(truncate(copy_path(s->f), 4096), 0);
	return s->messages != s->stop_after;
}

static void
a_batch_is_read_to_the_byte(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers numbers = {0};
	struct seen seen = {.f = f};
	struct backup_report report;
	struct buf error = {0};
	struct backup *b;

	fill(f);
	make_good_copy(f);
	b = backup_open(copy_path(f), &report, &error);
	assert_non_null(b);
	assert_true(backup_batch(b, 1, see_batch, &numbers, &error));
	assert_int_equal(numbers.held, 5);
	assert_int_equal(numbers.discarded, 1);
	assert_false(backup_batch(b, 2, see_batch, &numbers, &error));
	assert_non_null(strstr(buf_text(&error), "no batch B2; its newest is B1"));
	assert_false(backup_batch(b, 0, see_batch, &numbers, &error));
	assert_false(backup_batch(b, -1, see_batch, &numbers, &error));
	assert_true(backup_messages(b, 1, see_message, &seen, &error));
	assert_int_equal(seen.messages, 3);
	assert_int_equal(seen.held, 5);
	assert_int_equal(seen.discarded, 1);
	/* A caller that has enough. */
	seen = (struct seen){.f = f, .stop_after = 1};
	assert_true(backup_messages(b, 1, see_message, &seen, &error));
	assert_int_equal(seen.messages, 1);
	/* Somebody writes it meanwhile. */
	seen = (struct seen){.f = f, .stop_after = 1, .touch = true};
	buf_clear(&error);
	assert_false(backup_messages(b, 1, see_message, &seen, &error));
	assert_non_null(strstr(buf_text(&error), "changed while it was read"));
	backup_close(b);
	buf_free(&error);
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
	    ON_DISK(a_gate_writes_while_it_is_copied),
	    ON_DISK(closing_the_store_stops_it),
	    ON_DISK(a_bad_path_is_refused),
	    ON_DISK(a_directory_of_others_is_refused),
	    ON_DISK(too_little_space_is_seen_before),
	    ON_DISK(a_full_disk_leaves_nothing),
	    cmocka_unit_test(a_store_in_memory_is_refused),
	    ON_DISK(a_flipped_bit_is_found),
	    ON_DISK(a_cut_copy_is_found),
	    ON_DISK(what_is_sealed_again_is_checked),
	    ON_DISK(an_altered_audit_log_is_told),
	    ON_DISK(what_is_no_copy_is_refused),
	    ON_DISK(an_older_copy_is_whole_and_not_read),
	    ON_DISK(a_batch_is_read_to_the_byte),
	    ON_DISK(a_store_opens_from_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
