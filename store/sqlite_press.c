/*
 * Which message is packed with which dictionary, and the rows of `dictionary`. See sqlite_press.h.
 *
 * The first message of a family (family.h) is packed alone and remembered; the second makes it the
 * family's dictionary, a row that never changes but for `uses`. Where it does not fit any more, the
 * next message becomes a new row, and what was packed with the old one keeps that. A row's id is
 * never given again once it was committed, so readers may keep what they have read of it.
 */
#include "store/sqlite_press.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/family.h"

/* Of one reading connection: there are a few of them. */
enum { READERS_MAX = 8, READERS_BYTES_MAX = 1 << 20 };

struct reader {
	TAILQ_ENTRY(reader) next;
	int64_t id;
	struct press_reader *dictionary;
};

struct use {
	int64_t id, change;
};

struct sqlite_press {
	struct press *press;
	struct families families;
	struct use *uses; /* of this transaction, the dictionaries in the order of their first */
	size_t use_count, use_cap;
	bool made;                               /* a row, in this transaction */
	bool unneeded;                           /* there may be rows that no message needs */
	TAILQ_HEAD(reader_list, reader) readers; /* used last, first */
	size_t reader_count, reader_bytes;
};

static struct sqlite_press *
press_of(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;

	if (db->press != NULL)
		return db->press;
	db->press = mem_zalloc(sizeof(*db->press));
	db->press->press = press_new();
	db->press->unneeded = true;
	families_init(&db->press->families);
	TAILQ_INIT(&db->press->readers);
	return db->press;
}

static void
forget_reader(struct sqlite_press *s, struct reader *r)
{
	TAILQ_REMOVE(&s->readers, r, next);
	s->reader_count--;
	s->reader_bytes -= press_reader_bytes(r->dictionary);
	press_reader_free(r->dictionary);
	free(r);
}

static void
forget_all(struct sqlite_press *s)
{
	families_clear(&s->families);
	while (!TAILQ_EMPTY(&s->readers))
		forget_reader(s, TAILQ_FIRST(&s->readers));
}

void
sqlite_press_close(struct sqlite_db *db)
{
	if (db->press == NULL)
		return;
	forget_all(db->press);
	press_free(db->press->press);
	free(db->press->uses);
	free(db->press);
	db->press = NULL;
}

/* ---- rows ---- */

static enum store_result
complain(struct db *db, const char *what)
{
	sqlite3_snprintf(sizeof(db->error), db->error, "%s", what);
	return STORE_BROKEN;
}

/* The first row: its id, and its bytes appended. STORE_MISSING without one; a row that cannot be
 * unpacked gives no bytes. */
static enum store_result
read_dictionary(struct db *db, const char *text, int64_t key, int64_t *id, struct buf *data)
{
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(key)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && !more)
		r = STORE_MISSING;
	if (r == STORE_OK) {
		const void *frame = sqlite3_column_blob(s, 1);

		*id = sqlite3_column_int64(s, 0);
		(void)press_restore(press_of(db)->press, frame, (size_t)sqlite3_column_bytes(s, 1),
				    data);
	}
	sql_end(db, s);
	return r;
}

static void
use(struct sqlite_press *s, int64_t id, int64_t change)
{
	size_t i = s->use_count;

	while (i > 0 && s->uses[i - 1].id != id)
		i--;
	if (i > 0) {
		s->uses[i - 1].change += change;
		return;
	}
	if (s->use_count == s->use_cap) {
		s->use_cap = s->use_cap > 0 ? s->use_cap * 2 : 8;
		s->uses = mem_resize_array(s->uses, s->use_cap, sizeof(*s->uses));
	}
	s->uses[s->use_count++] = (struct use){id, change};
}

/* From now on the family has `data` as its dictionary; none if that cannot be one. */
static enum store_result
make_dictionary(struct db *db, struct family *it, const struct buf *data)
{
	struct sqlite_press *s = press_of(db);
	const size_t len = data->len < PRESS_DICTIONARY_MAX ? data->len : PRESS_DICTIONARY_MAX;
	struct press_maker *maker = press_maker_new(data->data, len);
	struct buf frame = {0};
	enum store_result r;
	int64_t id = 0;

	if (maker == NULL) {
		buf_clear(&it->first); /* its room stays, and stays counted */
		return STORE_OK;
	}
	press_store(s->press, data->data, len, &frame);
	r = sql_run(db, "INSERT INTO dictionary(family, uses, bytes, data) VALUES(?1, 0, ?2, ?3)",
		    ARGS(INT(it->hash), INT(len), BLOB(frame.data, frame.len)));
	buf_free(&frame);
	if (r != STORE_OK) {
		press_maker_free(maker);
		return r;
	}
	id = sqlite3_last_insert_rowid(((struct sqlite_db *)db)->sql);
	log_debug("- store.dictionary id=%" PRId64 " bytes=%zu", id, len);
	s->made = s->unneeded = true;
	family_begin(&s->families, it, id, maker);
	return STORE_OK;
}

/* As the store knows it, if it was forgotten here. */
static enum store_result
find_family(struct db *db, const struct message *m, struct family **out)
{
	static const char text[] = "SELECT id, data FROM dictionary WHERE family = ?1"
				   " ORDER BY id DESC LIMIT 1";
	struct sqlite_press *s = press_of(db);
	const uint64_t hash = family_hash(m);
	struct press_maker *maker;
	struct buf data = {0};
	enum store_result r;
	int64_t id;

	*out = families_find(&s->families, hash, m->accepted_at);
	if (*out != NULL)
		return STORE_OK;
	r = read_dictionary(db, text, (int64_t)hash, &id, &data);
	if (r != STORE_OK && r != STORE_MISSING)
		return r;
	*out = families_add(&s->families, hash, m->accepted_at);
	if (r == STORE_OK) {
		maker = press_maker_new(data.data, data.len);
		if (maker != NULL)
			family_begin(&s->families, *out, id, maker);
		else
			log_warn("- store.dictionary_damaged id=%" PRId64, id);
	}
	buf_free(&data);
	return STORE_OK;
}

enum store_result
sqlite_press_add(struct db *db, const struct message *m, struct buf *blob)
{
	struct sqlite_press *s = press_of(db);
	const struct buf *plain = press_plain(s->press);
	struct family *it;

	if (!press_take(s->press, m))
		return STORE_MISSING;
	TRY(find_family(db, m, &it));
	if (it->maker == NULL && it->first.len > 0)
		TRY(make_dictionary(db, it, &it->first));
	else if (it->maker != NULL && family_is_worn(it))
		TRY(make_dictionary(db, it, plain));
	press_pack(s->press, it->dictionary, it->maker, blob);
	if (it->maker != NULL)
		family_count(it, plain->len, blob->len);
	else
		family_keep_first(&s->families, it, plain);
	if (!press_pays(s->press, blob->len))
		return STORE_MISSING;
	if (it->maker != NULL)
		use(s, it->dictionary, 1);
	return STORE_OK;
}

/* ---- what needs them ---- */

enum store_result
sqlite_press_delete(struct db *db, uint64_t message)
{
	static const char text[] =
	    "SELECT substr(body, 1, 12) FROM message WHERE id = ?1 AND complete = 2";
	sqlite3_stmt *s;
	enum store_result r;
	int64_t id = 0;
	bool more;

	_Static_assert(PRESS_HEAD_MAX == 12, "as in the text");
	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(message)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		const void *head = sqlite3_column_blob(s, 0);

		id = press_dictionary(head, (size_t)sqlite3_column_bytes(s, 0));
	}
	sql_end(db, s);
	if (id > 0)
		use(press_of(db), id, -1);
	return r;
}

/* The family's newest stays: the next message would make it again. */
static enum store_result
write_use(struct db *db, struct sqlite_press *s, const struct use *u)
{
	if (u->change == 0)
		return STORE_OK;
	TRY(sql_run(db, "UPDATE dictionary SET uses = uses + ?2 WHERE id = ?1",
		    ARGS(INT(u->id), INT(u->change))));
	if (u->change > 0)
		return STORE_OK;
	s->unneeded = true;
	return sql_run(db,
		       "DELETE FROM dictionary WHERE id = ?1 AND uses <= 0 AND EXISTS"
		       " (SELECT 1 FROM dictionary n WHERE n.family = dictionary.family"
		       " AND n.id > ?1)",
		       ARGS(INT(u->id)));
}

enum store_result
sqlite_press_flush(struct db *base)
{
	struct sqlite_press *s = ((struct sqlite_db *)base)->press;
	size_t i;

	for (i = 0; s != NULL && i < s->use_count; i++)
		TRY(write_use(base, s, &s->uses[i]));
	return STORE_OK;
}

void
sqlite_press_ended(struct db *base, bool committed)
{
	struct sqlite_press *s = ((struct sqlite_db *)base)->press;

	if (s == NULL)
		return;
	/* Its id will be given again. */
	if (!committed && s->made)
		forget_all(s);
	s->use_count = 0;
	s->made = false;
}

enum store_result
sqlite_dictionary_purge(struct db *db, int64_t before)
{
	static const char text[] = "SELECT id, family FROM dictionary WHERE uses <= 0";
	struct sqlite_press *s = press_of(db);
	struct family *it;
	struct use *gone = NULL;
	size_t count = 0, i;
	sqlite3_stmt *list;
	enum store_result r;
	bool more;

	if (!s->unneeded || s->use_count > 0)
		return STORE_OK;
	s->unneeded = false;
	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &list));
	while ((r = sql_step(db, list, &more)) == STORE_OK && more) {
		const int64_t id = sqlite3_column_int64(list, 0);

		it = families_peek(&s->families, (uint64_t)sqlite3_column_int64(list, 1));
		if (it != NULL && it->dictionary == id && it->used_at >= before) {
			s->unneeded = true; /* later, perhaps */
			continue;
		}
		if (it != NULL && it->dictionary == id)
			families_forget(&s->families, it);
		if ((count & (count - 1)) == 0) /* a power of two: full */
			gone = mem_resize_array(gone, count > 0 ? count * 2 : 1, sizeof(*gone));
		gone[count++].id = id;
	}
	sql_end(db, list);
	for (i = 0; i < count && r == STORE_OK; i++)
		r = sql_run(db, "DELETE FROM dictionary WHERE id = ?1", ARGS(INT(gone[i].id)));
	free(gone);
	return r;
}

/* ---- reading ---- */

static enum store_result
read_reader(struct db *db, int64_t id, struct press_reader **out)
{
	static const char text[] = "SELECT id, data FROM dictionary WHERE id = ?1";
	struct sqlite_press *s = press_of(db);
	struct buf data = {0};
	struct reader *reader;
	enum store_result r;

	r = read_dictionary(db, text, id, &id, &data);
	*out = r == STORE_OK ? press_reader_new(data.data, data.len) : NULL;
	buf_free(&data);
	if (r == STORE_MISSING)
		return complain(db, "a packed message's dictionary is missing");
	TRY(r);
	if (*out == NULL)
		return complain(db, "a packed message's dictionary is damaged");
	reader = mem_zalloc(sizeof(*reader));
	reader->id = id;
	reader->dictionary = *out;
	TAILQ_INSERT_HEAD(&s->readers, reader, next);
	s->reader_count++;
	s->reader_bytes += press_reader_bytes(*out);
	while (s->reader_count > 1 &&
	       (s->reader_count > READERS_MAX || s->reader_bytes > READERS_BYTES_MAX))
		forget_reader(s, TAILQ_LAST(&s->readers, reader_list));
	return STORE_OK;
}

static enum store_result
find_reader(struct db *db, int64_t id, struct press_reader **out)
{
	struct sqlite_press *s = press_of(db);
	struct reader *r;

	*out = NULL;
	if (id <= 0)
		return STORE_OK; /* none, or press_unpack() says what is wrong */
	TAILQ_FOREACH (r, &s->readers, next) {
		if (r->id != id)
			continue;
		TAILQ_REMOVE(&s->readers, r, next);
		TAILQ_INSERT_HEAD(&s->readers, r, next);
		*out = r->dictionary;
		return STORE_OK;
	}
	return read_reader(db, id, out);
}

enum store_result
sqlite_press_load(struct db *db, const void *blob, size_t len, struct buf *header,
		  struct chunk **out)
{
	struct sqlite_press *s = press_of(db);
	struct press_reader *dictionary;
	struct buf body = {0};
	const char *wrong;

	TRY(find_reader(db, press_dictionary(blob, len), &dictionary));
	wrong = press_unpack(s->press, blob, len, dictionary, header, &body);
	if (wrong == NULL)
		*out = backend_chunk(body.data, body.len);
	buf_free(&body);
	return wrong == NULL ? STORE_OK : complain(db, wrong);
}
