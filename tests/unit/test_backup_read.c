/*
 * Copies of a store, verified and read: whatever of one is not as it was written is found, and what
 * is in it is read to the byte.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/seal.h"
#include "store/sqlite.h"
#include "tests/unit/backup_help.h"

static int
teardown_copy(void **state)
{
	unlink(copy_path(*state));
	return teardown(state);
}

/* ---- finding out ---- */

static void
expect_refused(const char *path, const char *says)
{
	struct backup_report report;
	struct buf error = {0};
	struct backup *b = backup_open(path, &report, &error);

	if (b != NULL || strstr(buf_text(&error), says) == NULL)
		fail_msg("%s: wanted \"%s\", got \"%s\"", path, says, buf_text(&error));
	buf_clear(&error);
	assert_false(backup_verify(path, &report, &error) && report.schema == 5);
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
	size_t i;

	assert_int_equal(sqlite3_open(path, &db.sql), SQLITE_OK);
	sqlite3_db_config(db.sql, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	if (sqlite3_exec(db.sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db.sql));
	if (seal_find(&db.base, file, &seal) == STORE_OK) {
		assert_int_equal(fstat(file, &st), 0);
		assert_true(seal_compute(file, (uint64_t)st.st_size, seal.offset, NULL, hash));
		assert_int_equal(pwrite(file, hash, SEAL_BYTES, (off_t)seal.offset), SEAL_BYTES);
	}
	for (i = 0; i < SQL_CACHE_SLOTS; i++)
		sqlite3_finalize(db.cache[i].statement);
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

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown_copy, (void *)&backend_sqlite                         \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_DISK(a_flipped_bit_is_found),          ON_DISK(a_cut_copy_is_found),
	    ON_DISK(what_is_sealed_again_is_checked), ON_DISK(an_altered_audit_log_is_told),
	    ON_DISK(what_is_no_copy_is_refused),      ON_DISK(an_older_copy_is_whole_and_not_read),
	    ON_DISK(a_batch_is_read_to_the_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
