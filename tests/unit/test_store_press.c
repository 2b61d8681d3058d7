/*
 * Packed mail in the store: what is held, dropped or imported takes little room and is loaded as it
 * came; the rows of dictionaries come and go with what needs them, also over a rollback and a
 * restart; damage is an error with a text; and the file gives back what it does not need.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "store/family.h"
#include "store/sqlite_shrink.h"
#include "tests/unit/store_faults.h"

/* ---- mail ---- */

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* About 6 KB: what a template says, and a line for each person. */
static void
add_text(struct buf *out, uint32_t template, unsigned person)
{
	unsigned i;

	for (i = 0; i < 200; i++)
		buf_printf(out, i == 100 ? "Dear customer %u,\r\n" : "%u %x and so on\r\n",
			   i == 100 ? person * 7919 : next_random(&template),
			   next_random(&template));
}

static struct message *
make_letter(uint32_t template, unsigned person, enum verdict_action action)
{
	struct message *m = make_message("staging", "news", 1, action,
					 action == VERDICT_PASS ? NULL : "burst volume",
					 action == VERDICT_HOLD ? &test_stream : NULL);
	struct buf text = {0};

	add_text(&text, template, person);
	chunks_add(&m->body, text.data, text.len);
	m->body_bytes += text.len;
	buf_free(&text);
	return m;
}

static void
check_letter(struct fixture *f, uint64_t id, uint32_t template, unsigned person)
{
	struct store_job load = {.op = STORE_LOAD, .u.load.id = id};
	struct message *m = make_letter(template, person, VERDICT_PASS);
	struct buf wanted = {0}, is = {0};
	const struct chunk *chunk;

	if (run_job(f, &load) != STORE_OK)
		fail_msg("person %u: %s", person, load.error);
	assert_int_equal(load.u.load.chunk_count, 1);
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&wanted, chunk->data, chunk->len);
	STAILQ_FOREACH (chunk, &load.u.load.message->body.list, next)
		buf_add(&is, chunk->data, chunk->len);
	assert_string_equal(is.data, wanted.data);
	assert_int_equal(load.u.load.message->body_bytes, wanted.len);
	assert_string_equal(load.u.load.message->header.data, m->header.data);
	message_free(load.u.load.message);
	message_free(m);
	buf_free(&wanted);
	buf_free(&is);
}

/* Of `count` persons from `first` on; their ids, for free(). */
static uint64_t *
add_letters(struct fixture *f, uint32_t template, unsigned first, unsigned count)
{
	uint64_t *ids = mem_zalloc(count * sizeof(*ids));
	unsigned i;

	for (i = 0; i < count; i++)
		ids[i] = add_message(f, make_letter(template, first + i, VERDICT_HOLD));
	return ids;
}

/* ---- looking into the file ---- */

/* The rows say themselves how many messages need them. */
static void
check_uses(const struct fixture *f)
{
	assert_int_equal(ask_file(f->path, "SELECT coalesce(sum(uses), 0) FROM dictionary"),
			 ask_file(f->path, "SELECT count(*) FROM message WHERE complete = 2"
					   " AND substr(hex(body), 5, 2) <> '00'"));
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary WHERE uses < 0"), 0);
}

static void
discard_all(struct fixture *f)
{
	struct store_job job, purge = {.op = STORE_PURGE};

	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	decide_job(&job, STORE_PURGE_NOW, 1);
	job.u.decide.reason = "test";
	if (run_job(f, &job) != STORE_OK)
		fail_msg("%s", job.error);
	/* It is gone for all who ask; its rows go a little at a time. */
	purge.u.purge.limit = 100;
	do
		assert_int_equal(run_job(f, &purge), STORE_OK);
	while (purge.u.purge.purged > 0);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM message"), 0);
}

/* ---- both twins ---- */

static void
what_is_held_comes_back(void **state)
{
	static const enum verdict_action actions[] = {VERDICT_HOLD, VERDICT_DROP, VERDICT_PASS,
						      VERDICT_WAIT};
	struct fixture *f = *state;
	uint64_t ids[8];
	unsigned i;

	for (i = 0; i < 8; i++)
		ids[i] = add_message(f, make_letter(1, i, actions[i % 4]));
	for (i = 0; i < 8; i++)
		check_letter(f, ids[i], 1, i);
	check_counts(f);
	if (f->b == &backend_memory)
		return;
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM message WHERE complete = 2"), 4);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM message WHERE complete = 2"
					   " AND header IS NULL"),
			 4);
	check_uses(f);
}

static void
a_person_sees_the_same(void **state)
{
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, 3);
	struct buf raw = {0}, wanted = {0};
	struct message *m = make_letter(1, 2, VERDICT_PASS);
	const struct chunk *chunk;
	bool cut;

	buf_add(&wanted, m->header.data, m->header.len);
	buf_add_text(&wanted, "\r\n");
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&wanted, chunk->data, chunk->len);
	assert_int_equal(store_view_raw(f->v, ids[2], SIZE_MAX, &raw, &cut), STORE_OK);
	assert_false(cut);
	assert_string_equal(raw.data, wanted.data);
	buf_clear(&raw);
	assert_int_equal(store_view_raw(f->v, ids[2], 100, &raw, &cut), STORE_OK);
	assert_true(cut);
	assert_int_equal(raw.len, 100);
	assert_memory_equal(raw.data, wanted.data, 100);
	message_free(m);
	buf_free(&raw);
	buf_free(&wanted);
	free(ids);
}

static void
it_is_released_and_discarded(void **state)
{
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, 5);

	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	assert_int_equal(claim(f, "staging", INT64_MAX / 2), 5);
	check_letter(f, ids[4], 1, 4);
	check_counts(f);
	free(ids);
}

/* Recipients of both kinds: it leaves now, so it is not packed. */
static void
who_waits_for_nobody(void **state)
{
	struct fixture *f = *state;
	struct message *m =
	    make_message("staging", "news", 2, VERDICT_HOLD, "burst volume", &test_stream);

	m->recipients[1].verdict = (struct verdict){.action = VERDICT_PASS};
	add_message(f, m);
	if (f->b == &backend_sqlite)
		assert_int_equal(
		    ask_file(f->path, "SELECT count(*) FROM message WHERE complete = 2"), 0);
	check_counts(f);
}

/* ---- dictionaries ---- */

static void
a_blast_takes_little(void **state)
{
	enum { LETTERS = 100 };
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, LETTERS);

	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 1);
	assert_int_equal(ask_file(f->path, "SELECT uses FROM dictionary"), LETTERS - 1);
	/* All but the first: little more than what differs. */
	assert_in_range(ask_file(f->path, "SELECT max(length(body)) FROM message"
					  " WHERE id > (SELECT min(id) FROM message)"),
			20, 200);
	assert_int_equal(
	    ask_file(f->path, "SELECT count(*) FROM message WHERE bytes <> body_bytes + 15"), 0);
	assert_true(ask_file(f->path, "SELECT min(bytes) FROM message") > 3000);
	check_letter(f, ids[0], 1, 0);
	check_letter(f, ids[LETTERS - 1], 1, LETTERS - 1);
	free(ids);
}

static void
other_mail_has_another_dictionary(void **state)
{
	struct fixture *f = *state;
	struct message *m;
	unsigned i;

	for (i = 0; i < 6; i++) {
		m = make_letter(i % 3, i, VERDICT_DROP);
		m->subject_key = i % 3 == 0 ? "news" : "bills";
		m->source = i % 3 == 1 ? "10.2.0.8" : "10.2.0.7";
		add_message(f, m);
	}
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary WHERE uses = 1"), 3);
	assert_int_equal(ask_file(f->path, "SELECT count(DISTINCT family) FROM dictionary"), 3);
	check_uses(f);
}

/* The newsletter changes: a better dictionary is made, and the old one goes with what needs it. */
static void
a_worn_one_is_replaced(void **state)
{
	enum { BEFORE = 70, AFTER = 200 };
	struct fixture *f = *state;
	uint64_t *before = add_letters(f, 1, 0, BEFORE), *after = add_letters(f, 2, 0, AFTER);
	struct store_job purge = {.op = STORE_PURGE};
	int64_t old;

	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 2);
	assert_true(ask_file(f->path, "SELECT uses FROM dictionary ORDER BY id") >= BEFORE);
	assert_true(ask_file(f->path, "SELECT uses FROM dictionary ORDER BY id DESC") > 20);
	assert_in_range(ask_file(f->path, "SELECT length(body) FROM message ORDER BY id DESC"), 20,
			200);
	check_uses(f);
	check_letter(f, before[BEFORE - 1], 1, BEFORE - 1);
	check_letter(f, after[0], 2, 0);
	check_letter(f, after[AFTER - 1], 2, AFTER - 1);
	old = ask_file(f->path, "SELECT min(id) FROM dictionary");
	discard_all(f);
	/* The newest may stay for the next mail, until a day after the last. */
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary WHERE uses > 0"), 0);
	assert_true(ask_file(f->path, "SELECT coalesce(min(id), 99) FROM dictionary") > old);
	purge.u.purge.limit = 100;
	fixture_reopen(f); /* it remembers no mail since */
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 0);
	free(add_letters(f, 1, 0, 3));
	assert_true(ask_file(f->path, "SELECT id FROM dictionary") > old + 1); /* no id twice */
	free(before);
	free(after);
}

static void
a_restart_finds_it(void **state)
{
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, 4), *more;

	fixture_reopen(f);
	check_letter(f, ids[3], 1, 3);
	more = add_letters(f, 1, 4, 4);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 1);
	assert_int_equal(ask_file(f->path, "SELECT uses FROM dictionary"), 7);
	check_letter(f, more[3], 1, 7);
	free(ids);
	free(more);
}

static void
a_rolled_back_one_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_ADD};
	uint64_t *ids = add_letters(f, 1, 0, 1), other[2];

	/* The second would have made the dictionary. */
	faults.commits_to_fail = 1;
	job.u.add.message = make_letter(1, 1, VERDICT_HOLD);
	assert_int_equal(run_job(f, &job), STORE_BROKEN);
	message_free(job.u.add.message);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 0);
	/* Another family gets the id that was not used. */
	for (unsigned i = 0; i < 2; i++) {
		struct message *m = make_letter(9, i, VERDICT_HOLD);

		m->subject_key = "other";
		other[i] = add_message(f, m);
	}
	free(ids);
	ids = add_letters(f, 1, 2, 3);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 2);
	check_uses(f);
	check_letter(f, other[1], 9, 1);
	check_letter(f, ids[0], 1, 2);
	check_letter(f, ids[2], 1, 4);
	/* What was counted in a transaction that failed is not counted. */
	faults.commits_to_fail = 1;
	job.u.add.message = make_letter(1, 5, VERDICT_HOLD);
	assert_int_equal(run_job(f, &job), STORE_BROKEN);
	message_free(job.u.add.message);
	check_uses(f);
	free(add_letters(f, 1, 6, 1));
	check_uses(f);
	free(ids);
}

/* ---- damage ---- */

static void
run_sql(const struct fixture *f, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
damage_is_told(void **state)
{
	static const struct {
		const char *sql, *wanted;
	} rows[] = {
	    {"UPDATE message SET body = x'0100' WHERE complete = 2", "its lengths make no sense"},
	    {"UPDATE message SET body = substr(body, 1, length(body) - 1) WHERE complete = 2",
	     "its content cannot be unpacked"},
	    {"UPDATE dictionary SET data = x'00'", "dictionary is damaged"},
	    {"DELETE FROM dictionary", "dictionary is missing"},
	};
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, 3);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_job load = {.op = STORE_LOAD, .u.load.id = ids[2]};
		struct buf raw = {0};
		bool cut;

		run_sql(f, "CREATE TABLE IF NOT EXISTS m AS SELECT id, body FROM message;"
			   "CREATE TABLE IF NOT EXISTS d AS SELECT * FROM dictionary");
		run_sql(f, rows[i].sql);
		fixture_reopen(f);
		assert_int_equal(run_job(f, &load), STORE_BROKEN);
		if (strstr(load.error, rows[i].wanted) == NULL)
			fail_msg("wanted \"%s\" in \"%s\"", rows[i].wanted, load.error);
		assert_int_equal(store_view_raw(f->v, ids[2], 1000, &raw, &cut), STORE_BROKEN);
		run_sql(f,
			"UPDATE message SET body = (SELECT m.body FROM m WHERE m.id = message.id);"
			"DELETE FROM dictionary; INSERT INTO dictionary SELECT * FROM d");
		fixture_reopen(f);
		check_letter(f, ids[2], 1, 2);
		buf_free(&raw);
	}
	free(ids);
}

/* Mail goes on all the same where the family's dictionary cannot be read. */
static void
a_damaged_one_is_not_used(void **state)
{
	struct fixture *f = *state;
	uint64_t *ids = add_letters(f, 1, 0, 3);

	run_sql(f, "UPDATE dictionary SET data = x'00'");
	fixture_reopen(f);
	free(ids);
	ids = add_letters(f, 1, 3, 3);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM dictionary"), 2);
	check_letter(f, ids[0], 1, 3);
	check_letter(f, ids[2], 1, 5);
	check_uses(f);
	free(ids);
}

/* ---- the file ---- */

static off_t
file_bytes(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return st.st_size;
}

/* What no compression shrinks, a file of about 11 MB. */
static void
add_noise(struct fixture *f)
{
	enum { MESSAGES = 160, BODY = 64 << 10 };
	char *body = mem_zalloc(BODY);
	uint32_t seed = 6;
	size_t i, k;

	for (i = 0; i < MESSAGES; i++) {
		struct message *m = make_letter(1, (unsigned)i, VERDICT_HOLD);

		for (k = 0; k < BODY; k++)
			body[k] = (char)(next_random(&seed) >> 13);
		chunks_add(&m->body, body, BODY);
		m->body_bytes += BODY;
		add_message(f, m);
	}
	free(body);
	fixture_reopen(f); /* all of the log is in the file */
	assert_true(file_bytes(f) > MESSAGES * (off_t)BODY);
}

/* Nobody asks for it: the writer does it when there is nothing else to do. */
static void
wait_smaller(const struct fixture *f)
{
	const off_t wanted = 2 * SHRINK_KEEP_PAGES * SQLITE_PAGE_BYTES;
	int i;

	for (i = 0; i < 600 && file_bytes(f) > wanted; i++)
		usleep(100000);
	assert_true(file_bytes(f) <= wanted);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM pragma_integrity_check"
					   " WHERE integrity_check = 'ok'"),
			 1);
}

static void
a_purge_gives_space_back(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_file(f->path, "PRAGMA auto_vacuum"), 2);
	add_noise(f);
	discard_all(f);
	wait_smaller(f);
}

/* The log cannot be copied while somebody reads what was there before; afterwards it is. */
static void
a_reader_only_delays_it(void **state)
{
	struct fixture *f = *state;
	const int64_t kept = SHRINK_KEEP_PAGES;
	sqlite3 *reader;
	off_t most;
	int i;

	add_noise(f);
	most = file_bytes(f);
	assert_int_equal(sqlite3_open(f->path, &reader), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM message", NULL, NULL, NULL),
	    SQLITE_OK);
	discard_all(f);
	for (i = 0; i < 600 && ask_file(f->path, "PRAGMA freelist_count") > kept; i++)
		usleep(100000);
	assert_true(ask_file(f->path, "PRAGMA freelist_count") <= kept);
	assert_true(file_bytes(f) >= most);
	sqlite3_close(reader);
	wait_smaller(f);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown, (void *)&backend_sqlite                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(what_is_held_comes_back),
	    BOTH(a_person_sees_the_same),
	    BOTH(it_is_released_and_discarded),
	    BOTH(who_waits_for_nobody),
	    ON_DISK(a_blast_takes_little),
	    ON_DISK(other_mail_has_another_dictionary),
	    ON_DISK(a_worn_one_is_replaced),
	    ON_DISK(a_restart_finds_it),
	    cmocka_unit_test_setup_teardown(a_rolled_back_one_is_forgotten, setup_faulty, teardown),
	    ON_DISK(damage_is_told),
	    ON_DISK(a_damaged_one_is_not_used),
	    ON_DISK(a_purge_gives_space_back),
	    ON_DISK(a_reader_only_delays_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
