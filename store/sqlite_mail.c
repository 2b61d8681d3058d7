/*
 * Messages and their bodies in SQLite. A body of up to CHUNK_BYTES is inline in its message's row;
 * a larger one is rows of `chunk`, each as its STORE_CHUNK brought it. Where complete = 2 the row's
 * body is header and body as one packed blob (press.h), and its header is NULL. Writes run on the
 * writer's thread; loads on the reader's or a view's. What a load hands out belongs to the caller.
 */
#include "store/sqlite_press.h"

enum store_result
sqlite_message_begin(struct db *db, uint64_t id)
{
	return sql_run(db, "INSERT INTO message(id, complete) VALUES(?1, 0)", ARGS(INT(id)));
}

enum store_result
sqlite_message_abandon(struct db *db, uint64_t id)
{
	return sql_run(db, "DELETE FROM message WHERE id = ?1 AND complete = 0", ARGS(INT(id)));
}

enum store_result
sqlite_message_delete(struct db *db, uint64_t id)
{
	TRY(sqlite_press_delete(db, id));
	return sql_run(db, "DELETE FROM message WHERE id = ?1", ARGS(INT(id)));
}

enum store_result
sqlite_message_known(struct db *db, uint64_t id, bool *out)
{
	int64_t n = 0;

	TRY(sql_number(db, "SELECT count(*) FROM message WHERE id = ?1", ARGS(INT(id)), &n));
	*out = n > 0;
	return STORE_OK;
}

enum store_result
sqlite_origin_find(struct db *db, uint64_t store, uint64_t id, uint64_t *message)
{
	return sql_number(db, "SELECT message FROM origin WHERE store = ?1 AND id = ?2",
			  ARGS(INT(store), INT(id)), (int64_t *)message);
}

enum store_result
sqlite_origin_add(struct db *db, uint64_t store, uint64_t id, uint64_t message)
{
	return sql_run(db, "INSERT INTO origin(message, store, id) VALUES(?1, ?2, ?3)",
		       ARGS(INT(message), INT(store), INT(id)));
}

enum store_result
sqlite_chunk_add(struct db *db, uint64_t id, uint32_t number, const struct chunk *chunk)
{
	TRY(sql_run(db,
		    "INSERT INTO chunk(message, number, data)"
		    " SELECT id, ?2, ?3 FROM message WHERE id = ?1 AND complete = 0",
		    ARGS(INT(id), INT(number), BLOB(chunk->data, chunk->len))));
	return sql_changes(db) == 1 ? STORE_OK : STORE_MISSING;
}

static enum store_result
add_rest(struct db *db, const struct message *m, uint32_t *number)
{
	const struct chunk *chunk;

	STAILQ_FOREACH (chunk, &m->body.list, next)
		TRY(sql_run(db, "INSERT INTO chunk(message, number, data) VALUES(?1, ?2, ?3)",
			    ARGS(INT(m->id), INT((*number)++), BLOB(chunk->data, chunk->len))));
	return STORE_OK;
}

static enum store_result
check_begun(struct db *db, const struct message *m)
{
	int64_t chunks = 0;

	TRY(sql_number(db, "SELECT complete FROM message WHERE id = ?1", ARGS(INT(m->id)),
		       &chunks));
	if (chunks != 0)
		return STORE_MISSING;
	TRY(sql_number(db, "SELECT count(*) FROM chunk WHERE message = ?1", ARGS(INT(m->id)),
		       &chunks));
	return chunks == (int64_t)m->chunks_stored ? STORE_OK : STORE_MISSING;
}

enum complete { COMPLETE_PLAIN = 1, COMPLETE_PACKED };

static enum store_result
put_row(struct db *db, const struct message *m, int64_t environment, enum complete complete,
	struct sql_arg body)
{
	const struct sql_arg header = complete == COMPLETE_PACKED
					  ? (struct sql_arg){.kind = SQL_NULL}
					  : BLOB(m->header.data, m->header.len);

	return sql_run(
	    db,
	    "INSERT INTO message(id, complete, accepted_at, environment, source, client,"
	    " helo, protocol, sender, eightbit, subject, subject_key, campaign, header_from, bytes,"
	    " body_bytes, chunks, header, body)"
	    " VALUES(?1, ?19, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
	    "?17,"
	    " ?18) ON CONFLICT(id) DO UPDATE SET complete = ?19, accepted_at = ?2, environment = "
	    "?3,"
	    " source = ?4, client = ?5, helo = ?6, protocol = ?7, sender = ?8, eightbit = ?9,"
	    " subject = ?10, subject_key = ?11, campaign = ?12, header_from = ?13, bytes = ?14,"
	    " body_bytes = ?15, chunks = ?16, header = ?17, body = ?18 WHERE complete = 0",
	    ARGS(INT(m->id), INT(m->accepted_at), INT(environment), TEXT(m->source),
		 TEXT(m->client), TEXT(m->helo), TEXT(m->protocol), TEXT(m->sender.text),
		 INT(m->eightbit), TEXT(m->subject), TEXT(m->subject_key), TEXT(m->campaign),
		 TEXT(m->header_from), INT(m->header.len + m->body_bytes), INT(m->body_bytes),
		 INT(1), header, body, INT(complete)));
}

static enum store_result
put_inline(struct db *db, const struct message *m, int64_t environment)
{
	const struct chunk *chunk = STAILQ_FIRST(&m->body.list);
	struct buf whole = {0};
	enum store_result r;

	if (chunk == NULL)
		return put_row(db, m, environment, COMPLETE_PLAIN, BLOB("", 0));
	if (STAILQ_NEXT(chunk, next) == NULL)
		return put_row(db, m, environment, COMPLETE_PLAIN, BLOB(chunk->data, chunk->len));
	STAILQ_FOREACH (chunk, &m->body.list, next)
		buf_add(&whole, chunk->data, chunk->len);
	r = put_row(db, m, environment, COMPLETE_PLAIN, BLOB(whole.data, whole.len));
	buf_free(&whole);
	return r;
}

static enum store_result
put_packed(struct db *db, const struct message *m, int64_t environment)
{
	struct buf blob = {0};
	enum store_result r = sqlite_press_add(db, m, &blob);

	if (r == STORE_OK)
		r = put_row(db, m, environment, COMPLETE_PACKED, BLOB(blob.data, blob.len));
	else if (r == STORE_MISSING)
		r = put_inline(db, m, environment);
	buf_free(&blob);
	return r;
}

/* No row where it would say nothing: the rule for most mail. */
static enum store_result
put_envelope(struct db *db, const struct message *m)
{
	if (!m->smtputf8 && m->ret == DSN_RET_NONE && *m->envid == '\0' && !m->report &&
	    m->audience == 0)
		return STORE_OK;
	return sql_run(db,
		       "INSERT INTO envelope(message, smtputf8, ret, envid, report, audience)"
		       " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
		       ARGS(INT(m->id), INT(m->smtputf8), INT(m->ret), TEXT(m->envid),
			    INT(m->report), INT(m->audience)));
}

enum store_result
sqlite_message_add(struct db *db, const struct message *m, int64_t environment, bool begun,
		   bool pack)
{
	uint32_t number = m->chunks_stored;

	if (begun)
		TRY(check_begun(db, m));
	if (!begun && m->body_bytes <= CHUNK_BYTES) {
		TRY(pack ? put_packed(db, m, environment) : put_inline(db, m, environment));
		return put_envelope(db, m);
	}
	TRY(put_row(db, m, environment, COMPLETE_PLAIN, (struct sql_arg){.kind = SQL_NULL}));
	TRY(put_envelope(db, m));
	TRY(add_rest(db, m, &number));
	return sql_run(db, "UPDATE message SET chunks = ?2 WHERE id = ?1",
		       ARGS(INT(m->id), INT(number)));
}

/* ---- loading ---- */

enum store_result
sqlite_chunk_load(struct db *db, uint64_t id, uint32_t number, struct chunk **out)
{
	/* An inline body is its message's chunk 0. */
	static const char text[] =
	    "SELECT data, 1 FROM chunk WHERE message = ?1 AND number = ?2 UNION ALL"
	    " SELECT body, complete FROM message"
	    " WHERE id = ?1 AND ?2 = 0 AND complete > 0 AND body NOT NULL";
	struct buf header = {0};
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(id), INT(number)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		const void *data = sqlite3_column_blob(s, 0);
		const size_t len = (size_t)sqlite3_column_bytes(s, 0);

		if (sqlite3_column_int(s, 1) == COMPLETE_PACKED)
			r = sqlite_press_load(db, data, len, &header, out);
		else
			*out = backend_chunk(data, len);
	} else if (r == STORE_OK) {
		r = STORE_MISSING;
	}
	sql_end(db, s);
	buf_free(&header);
	return r;
}

/* The header alone of a packed message. */
static enum store_result
load_packed_header(struct db *db, sqlite3_stmt *s, int column, size_t max, struct buf *header)
{
	const void *blob = sqlite3_column_blob(s, column);
	const size_t len = (size_t)sqlite3_column_bytes(s, column);
	struct buf whole = {0};
	struct chunk *body;
	enum store_result r = sqlite_press_load(db, blob, len, &whole, &body);

	if (r == STORE_OK) {
		buf_add(header, whole.data, whole.len < max ? whole.len : max);
		chunk_unref(body);
	}
	buf_free(&whole);
	return r;
}

enum store_result
sqlite_header_load(struct db *db, uint64_t id, size_t max, struct buf *header, struct buf *envid)
{
	/* The header stands before the body, so the body's pages are not touched. */
	static const char text[] =
	    "SELECT CASE m.complete WHEN 2 THEN m.body ELSE substr(m.header, 1, ?2) END, v.envid,"
	    " m.complete FROM message m"
	    " LEFT JOIN envelope v ON v.message = m.id WHERE m.id = ?1 AND m.complete > 0";
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(id), INT(max)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		const void *data = sqlite3_column_blob(s, 0);

		if (sqlite3_column_int(s, 2) == COMPLETE_PACKED)
			r = load_packed_header(db, s, 0, max, header);
		else
			buf_add(header, data, (size_t)sqlite3_column_bytes(s, 0));
		buf_add_text(envid, sql_text(s, 1));
	} else if (r == STORE_OK) {
		r = STORE_MISSING;
	}
	sql_end(db, s);
	return r;
}

static void
read_row(sqlite3_stmt *s, struct message *m)
{
	struct arena *a = &m->arena;
	const void *header;

	m->accepted_at = sqlite3_column_int64(s, 0);
	m->environment = arena_strdup(a, sql_text(s, 1));
	m->source = arena_strdup(a, sql_text(s, 2));
	m->client = arena_strdup(a, sql_text(s, 3));
	m->helo = arena_strdup(a, sql_text(s, 4));
	m->protocol = arena_strdup(a, sql_text(s, 5));
	m->sender.text = arena_strdup(a, sql_text(s, 6));
	m->sender.local = m->sender.domain = arena_strdup(a, "");
	m->eightbit = sqlite3_column_int(s, 7) != 0;
	m->subject = arena_strdup(a, sql_text(s, 8));
	m->subject_key = arena_strdup(a, sql_text(s, 9));
	m->campaign = arena_strdup(a, sql_text(s, 10));
	m->header_from = arena_strdup(a, sql_text(s, 11));
	m->body_bytes = (uint64_t)sqlite3_column_int64(s, 12);
	header = sqlite3_column_blob(s, 14);
	buf_add(&m->header, header, (size_t)sqlite3_column_bytes(s, 14));
	m->smtputf8 = sqlite3_column_int(s, 15) != 0;
	m->ret = (enum dsn_ret)sqlite3_column_int(s, 16);
	m->envid = arena_strdup(a, sql_text(s, 17));
	m->report = sqlite3_column_int(s, 18) != 0;
	m->audience = (uint32_t)sqlite3_column_int64(s, 19);
}

enum store_result
sqlite_message_load(struct db *db, uint64_t id, struct message *m, uint32_t *chunk_count)
{
	static const char text[] =
	    "SELECT accepted_at, name, source, client, helo, protocol, sender, eightbit, subject,"
	    " subject_key, campaign, header_from, body_bytes, chunks, header, smtputf8, ret, envid,"
	    " report, audience, complete, CASE complete WHEN 2 THEN body END"
	    " FROM message JOIN environment ON environment.id = "
	    "message.environment"
	    " LEFT JOIN envelope ON envelope.message = message.id"
	    " WHERE message.id = ?1 AND complete > 0";
	struct chunk *chunk = NULL;
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(id)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		m->id = id;
		read_row(s, m);
		*chunk_count = (uint32_t)sqlite3_column_int64(s, 13);
		if (sqlite3_column_int(s, 20) == COMPLETE_PACKED) {
			const void *blob = sqlite3_column_blob(s, 21);

			r = sqlite_press_load(db, blob, (size_t)sqlite3_column_bytes(s, 21),
					      &m->header, &chunk);
		}
	} else if (r == STORE_OK) {
		r = STORE_MISSING;
	}
	sql_end(db, s);
	if (r != STORE_OK)
		return r;
	if (chunk == NULL)
		TRY(sqlite_chunk_load(db, id, 0, &chunk));
	STAILQ_INSERT_TAIL(&m->body.list, chunk, next);
	m->body.bytes += chunk->len;
	return STORE_OK;
}
