/*
 * The tables, as numbered steps: PRAGMA user_version says how many were taken. A step that was
 * released is never edited; a change is a new step. Called by sqlite.c when the writer's connection
 * opens.
 *
 * Keys grow with time, so rows are appended and no index is on random keys. The indexes:
 *   delivery_state    per environment and state, oldest first: lists, counts' ages, purge; not
 *                     what is held or discarded, which stands in a batch
 *   delivery_due      what is due; only queued and waiting rows that are not taken
 *   delivery_batch    a batch's deliveries by state and era; only rows that stand in a batch
 *   delivery_notice   what senders still have to be told
 *   batch_open, batch_state    lists of batches: a page costs a page
 * `member` is one by hand: a stream's deliveries that wait or are due (recall.c says what it
 * costs). A partial index could not do that: a delivery has several streams.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "store/sqlite.h"

static const char *const steps[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE environment(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE tally(environment INTEGER NOT NULL REFERENCES environment(id),"
    " state INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(environment, state)) WITHOUT ROWID;"
    /* complete = 0 while a large body comes in; then everything else but the id is NULL. The
     * two blobs come last, so that reading the rest touches no overflow page. */
    "CREATE TABLE message(id INTEGER PRIMARY KEY, complete INTEGER NOT NULL, accepted_at INTEGER,"
    " environment INTEGER REFERENCES environment(id), source TEXT, client TEXT, helo TEXT,"
    " protocol TEXT, sender TEXT, eightbit INTEGER, subject TEXT, subject_key TEXT, campaign TEXT,"
    " header_from TEXT, bytes INTEGER, body_bytes INTEGER, chunks INTEGER, header BLOB, body BLOB);"
    "CREATE INDEX message_incomplete ON message(id) WHERE complete = 0;"
    "CREATE TABLE chunk(message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"
    " number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(message, number));"
    "CREATE TABLE batch(id INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL,"
    " collecting INTEGER NOT NULL, stream INTEGER NOT NULL, tripped_at INTEGER NOT NULL,"
    " opened_at INTEGER NOT NULL, last_at INTEGER NOT NULL, decided_at INTEGER NOT NULL,"
    " environment TEXT NOT NULL, rule TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL,"
    " sender TEXT NOT NULL, subject TEXT NOT NULL, max INTEGER NOT NULL, window INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, recipients INTEGER NOT NULL, leaked INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, held INTEGER NOT NULL, released INTEGER NOT NULL,"
    " sent INTEGER NOT NULL, failed INTEGER NOT NULL, discarded INTEGER NOT NULL,"
    " alerted INTEGER NOT NULL, decided_by TEXT NOT NULL, decided_reason TEXT NOT NULL);"
    "CREATE INDEX batch_stream ON batch(stream, tripped_at);"
    /* final is NULL where it is the recipient; due_at where it is taken or never due. */
    "CREATE TABLE delivery(message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,"
    " number INTEGER NOT NULL, state INTEGER NOT NULL,"
    " environment INTEGER NOT NULL REFERENCES environment(id), due_at INTEGER,"
    " queued_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, batch INTEGER REFERENCES batch(id),"
    " stream INTEGER, tries INTEGER NOT NULL, counted INTEGER NOT NULL, recipient TEXT NOT NULL,"
    " final TEXT, rule TEXT NOT NULL, reason TEXT NOT NULL, reply TEXT NOT NULL,"
    " PRIMARY KEY(message, number)) WITHOUT ROWID;"
    "CREATE INDEX delivery_state ON delivery(state, environment);"
    "CREATE INDEX delivery_due ON delivery(environment, due_at) WHERE due_at IS NOT NULL;"
    "CREATE INDEX delivery_batch ON delivery(batch, state) WHERE batch IS NOT NULL;"
    "CREATE INDEX delivery_waiting ON delivery(stream) WHERE state = 1;"
    "CREATE TABLE hold(scope INTEGER NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,"
    " who TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY(scope, name)) WITHOUT ROWID;"
    "CREATE TABLE event(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
    " event TEXT NOT NULL, environment TEXT NOT NULL, batch INTEGER NOT NULL, n INTEGER NOT NULL,"
    " who TEXT NOT NULL, reason TEXT NOT NULL, text TEXT NOT NULL, fanned INTEGER NOT NULL);"
    "CREATE INDEX event_new ON event(id) WHERE fanned = 0;"
    "CREATE TABLE outbox(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " event INTEGER NOT NULL REFERENCES event(id), channel TEXT NOT NULL, state INTEGER NOT NULL,"
    " tries INTEGER NOT NULL, due_at INTEGER NOT NULL, first_tried_at INTEGER NOT NULL,"
    " error TEXT NOT NULL);"
    "CREATE INDEX outbox_event ON outbox(event);"
    "CREATE TABLE notice(kind INTEGER NOT NULL, key INTEGER NOT NULL, at INTEGER NOT NULL,"
    " n INTEGER NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL,"
    " action TEXT NOT NULL, object TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,"
    " hash BLOB NOT NULL);",

    /* What MAIL says besides the sender, for the few messages where it says something. Not columns
     * of `message`: a column that is added stands behind the blobs, and reading it would walk
     * through the body's pages. */
    "CREATE TABLE envelope(message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,"
    " smtputf8 INTEGER NOT NULL, ret INTEGER NOT NULL, envid TEXT NOT NULL,"
    " report INTEGER NOT NULL);"
    "ALTER TABLE delivery ADD COLUMN notify INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE delivery ADD COLUMN orcpt TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE delivery ADD COLUMN remote_mta TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE delivery ADD COLUMN notice INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE delivery ADD COLUMN told TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX delivery_notice ON delivery(message, number) WHERE notice = 1;"
    "ALTER TABLE notice ADD COLUMN text TEXT NOT NULL DEFAULT '';",

    /* delivery.keys: keys.c. delivery.stream stays as what a delivery waits for or was held by; of
     * what waits from before it is the only key.
     * counter.hash: with the highest bit turned over, so that the order of signed numbers is that
     * of unsigned ones and a shard is one run of rows. Its times are of the boot that it was
     * saved in.
     * traffic.id: minute since 1970 << 20 | a number: in order of time, and a span of time is a
     * span of ids. What names a stream stands once in traffic_stream, by its hash; `day`: when it
     * was last seen, in days since 1970. */
    "ALTER TABLE delivery ADD COLUMN keys BLOB;"
    "ALTER TABLE envelope ADD COLUMN audience INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE member(stream INTEGER NOT NULL, message INTEGER NOT NULL,"
    " number INTEGER NOT NULL, PRIMARY KEY(stream, message, number)) WITHOUT ROWID;"
    "INSERT INTO member SELECT stream, message, number FROM delivery"
    " WHERE state = 1 AND stream IS NOT NULL AND batch IS NULL;"
    "DROP INDEX delivery_waiting;"
    "ALTER TABLE batch ADD COLUMN ended_at INTEGER NOT NULL DEFAULT 0;"
    "UPDATE batch SET ended_at = decided_at WHERE collecting = 0;"
    "CREATE TABLE boot(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, mono INTEGER NOT NULL,"
    " wall INTEGER NOT NULL);"
    "CREATE TABLE counter_shard(shard INTEGER PRIMARY KEY, stamp INTEGER NOT NULL);"
    "CREATE TABLE counter(hash INTEGER PRIMARY KEY, boot INTEGER NOT NULL,"
    " idle_at INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE TABLE traffic_stream(hash INTEGER PRIMARY KEY, day INTEGER NOT NULL,"
    " environment TEXT NOT NULL, source TEXT NOT NULL, client TEXT NOT NULL, sender TEXT NOT NULL,"
    " subject TEXT NOT NULL, campaign TEXT NOT NULL, audience INTEGER NOT NULL);"
    "CREATE INDEX traffic_stream_day ON traffic_stream(day);"
    "CREATE TABLE traffic(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, recipients INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " passed INTEGER NOT NULL, waited INTEGER NOT NULL, held INTEGER NOT NULL,"
    " dropped INTEGER NOT NULL);",

    /* delivery.ring: see plan.h. batch.alone: released without a second person. audit_head: the
     * newest row once more, so that rows taken off the end are missed. outbox: what was delivered
     * stays for a while (state 3), behind the index. origin: where an imported message was before.
     */
    "ALTER TABLE delivery ADD COLUMN ring INTEGER;"
    "ALTER TABLE batch ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN seen_by TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE batch ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN reminded INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN remind_from INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN ruling INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN ruling_until INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX batch_ruled ON batch(stream) WHERE ruling > 0;"
    "CREATE INDEX batch_unseen ON batch(id) WHERE seen_at = 0 AND state IN (0, 2);"
    "CREATE TABLE plan(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " batch INTEGER NOT NULL UNIQUE REFERENCES batch(id), state INTEGER NOT NULL,"
    " sizes TEXT NOT NULL, wait INTEGER NOT NULL, stop_on REAL NOT NULL, rate INTEGER NOT NULL,"
    " rate_window INTEGER NOT NULL, stream_for INTEGER NOT NULL, total INTEGER NOT NULL,"
    " released INTEGER NOT NULL, ring INTEGER NOT NULL, ring_size INTEGER NOT NULL,"
    " ring_released INTEGER NOT NULL, ring_sent INTEGER NOT NULL, ring_failed INTEGER NOT NULL,"
    " ring_deferred INTEGER NOT NULL, ring_refused INTEGER NOT NULL,"
    " ring_started_at INTEGER NOT NULL, next_ring_at INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,"
    " who TEXT NOT NULL, reason TEXT NOT NULL, why TEXT NOT NULL, refusals TEXT NOT NULL,"
    " approvers INTEGER NOT NULL, approved_by TEXT NOT NULL, whole INTEGER NOT NULL);"
    "CREATE INDEX plan_active ON plan(state, batch) WHERE state < 4;"
    "CREATE INDEX outbox_open ON outbox(due_at) WHERE state < 3;"
    "CREATE INDEX event_batch ON event(batch) WHERE batch > 0;"
    "CREATE INDEX audit_object ON audit(object);"
    "CREATE TABLE audit_head(one INTEGER PRIMARY KEY CHECK(one = 1), id INTEGER NOT NULL,"
    " hash BLOB NOT NULL);"
    "INSERT INTO audit_head SELECT 1, id, hash FROM audit ORDER BY id DESC LIMIT 1;"
    "CREATE TABLE origin(message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,"
    " store INTEGER NOT NULL, id INTEGER NOT NULL, UNIQUE(store, id));",

    /* message.complete = 2: header and body are packed into `body`, see press.h; dictionary: what
     * they are packed against, raw, as a zstd frame; `uses`: messages that need it. The eras and
     * what was swept: see backend.h. */
    "CREATE TABLE dictionary(id INTEGER PRIMARY KEY AUTOINCREMENT, family INTEGER NOT NULL,"
    " uses INTEGER NOT NULL, bytes INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX dictionary_family ON dictionary(family);"
    "ALTER TABLE delivery ADD COLUMN era INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN era INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN swept INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN swept_state INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN swept_at INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN mixed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE plan ADD COLUMN era INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE plan ADD COLUMN feed_at INTEGER NOT NULL DEFAULT 0;"
    "UPDATE batch SET mixed = coalesce((SELECT min(d.environment) <> max(d.environment)"
    " FROM delivery d WHERE d.batch = batch.id), 0);"
    "UPDATE batch SET purged = discarded -"
    " (SELECT count(*) FROM delivery d WHERE d.batch = batch.id AND d.state = 6);"
    "DROP INDEX delivery_state;"
    "CREATE INDEX delivery_state ON delivery(state, environment) WHERE state NOT IN (2, 6);"
    "DROP INDEX delivery_batch;"
    "CREATE INDEX delivery_batch ON delivery(batch, state, era) WHERE batch IS NOT NULL;"
    "CREATE INDEX batch_held ON batch(id) WHERE held > 0;"
    "CREATE INDEX batch_discarded ON batch(id) WHERE discarded > purged;"
    "CREATE INDEX batch_gone ON batch(id) WHERE gone > 0;",

    /* Different people, see people.c; `people` is exact in what was there before, but whoever comes
     * again after this step counts again. The last two indexes of batches are for lists, that of
     * the outbox for what is due of one channel, and `first` and `last`: no message that stands in
     * the batch is older, or newer. */
    "ALTER TABLE batch ADD COLUMN people INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN people_kept INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN people_level INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE person(batch INTEGER NOT NULL, hash INTEGER NOT NULL,"
    " PRIMARY KEY(batch, hash)) WITHOUT ROWID;"
    "CREATE INDEX batch_people ON batch(last_at)"
    " WHERE people_kept > 0 AND collecting = 0 AND ruling = 0;"
    "CREATE INDEX batch_open ON batch(id) WHERE state IN (0, 1, 2);"
    "CREATE INDEX batch_state ON batch(state);"
    "CREATE INDEX outbox_pending ON outbox(channel, due_at) WHERE state = 0;"
    "ALTER TABLE batch ADD COLUMN first INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE batch ADD COLUMN last INTEGER NOT NULL DEFAULT 0;"
    "UPDATE batch SET (people, first, last) = (SELECT count(DISTINCT lower(d.recipient)),"
    " coalesce(min(d.message), 0), coalesce(max(d.message), 0) FROM delivery d"
    " INDEXED BY delivery_batch WHERE d.batch = batch.id);",
};

enum { STEP_COUNT = sizeof(steps) / sizeof(steps[0]) };

const char *
sqlite_schema_step(int number)
{
	return number >= 1 && number <= STEP_COUNT ? steps[number - 1] : NULL;
}

static bool
take_step(struct sqlite_db *db, int number)
{
	char version[80];

	sqlite3_snprintf(sizeof(version), version,
			 "PRAGMA user_version = %d; PRAGMA application_id = %d", number,
			 SQLITE_APPLICATION_ID);
	if (sqlite3_exec(db->sql, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return false;
	if (sqlite3_exec(db->sql, steps[number - 1], NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db->sql, version, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db->sql, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
		return true;
	sql_result(db, sqlite3_extended_errcode(db->sql));
	sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool
sqlite_migrate(struct sqlite_db *db, struct buf *error)
{
	int64_t version = 0, application = 0, tables = 0;

	if (sql_number(&db->base, "PRAGMA user_version", NO_ARGS, &version) != STORE_OK ||
	    sql_number(&db->base, "PRAGMA application_id", NO_ARGS, &application) != STORE_OK ||
	    sql_number(&db->base, "SELECT count(*) FROM sqlite_master", NO_ARGS, &tables) !=
		STORE_OK) {
		sqlite_say_damaged(db, error);
		return false;
	}
	if (tables > 0 && application != SQLITE_APPLICATION_ID) {
		buf_printf(error, "%s is another program's database; set `store` to another path",
			   db->path);
		return false;
	}
	if (version > STEP_COUNT) {
		buf_printf(error,
			   "%s was written by a newer mailfuse (schema %" PRId64 ", this one "
			   "knows %d); run that version, or put a backup from before the upgrade "
			   "in its place",
			   db->path, version, (int)STEP_COUNT);
		return false;
	}
	for (; version < STEP_COUNT; version++) {
		if (take_step(db, (int)version + 1))
			continue;
		buf_printf(error,
			   "cannot bring the store %s to schema %" PRId64 ": %s; see that its "
			   "disk has space and is writable",
			   db->path, version + 1, db->base.error);
		return false;
	}
	return true;
}
