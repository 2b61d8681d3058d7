/*
 * A copy's seal. See seal.h; called by copy.c, which makes it, and copy_file.c, which holds a file
 * against it.
 *
 * It is no signature: who alters a copy on purpose can seal it again. It finds what a disk, a
 * transfer or a full file system did.
 */
#include "store/seal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite.h"

enum { READ_BYTES = 1 << 20 };

const char seal_table[] = "CREATE TABLE seal(one INTEGER PRIMARY KEY CHECK(one = 1),"
			  " made_at INTEGER NOT NULL, hash BLOB NOT NULL)";

enum store_result
seal_add(struct db *db, int64_t made_at)
{
	unsigned char random[SEAL_BYTES];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		fatal("no random numbers from the system: %s", strerror(errno));
	TRY(sql_run(db, seal_table, NO_ARGS));
	return sql_run(db, "INSERT INTO seal(one, made_at, hash) VALUES(1, ?1, ?2)",
		       ARGS(INT(made_at), BLOB(random, sizeof(random))));
}

/* ---- finding ---- */

static enum store_result
complain(struct db *db, const char *what)
{
	sqlite3_snprintf(sizeof(db->error), db->error, "%s", what);
	return STORE_BROKEN;
}

/* The table's page; its text first: nothing of the file is run that we did not write. */
static enum store_result
find_page(struct db *db, int64_t *page)
{
	static const char text[] =
	    "SELECT type, sql, rootpage FROM sqlite_master WHERE name = 'seal'";
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && !more)
		r = STORE_MISSING;
	else if (r == STORE_OK &&
		 (strcmp(sql_text(s, 0), "table") != 0 || strcmp(sql_text(s, 1), seal_table) != 0))
		r = complain(db, "its seal is of another form");
	else if (r == STORE_OK)
		*page = sqlite3_column_int64(s, 2);
	sql_end(db, s);
	return r;
}

static enum store_result
read_seal(struct db *db, struct seal *out)
{
	static const char text[] = "SELECT made_at, hash FROM seal";
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && !more)
		r = STORE_MISSING;
	else if (r == STORE_OK && (sqlite3_column_type(s, 1) != SQLITE_BLOB ||
				   sqlite3_column_bytes(s, 1) != SEAL_BYTES))
		r = complain(db, "its seal is no SHA-256");
	if (r == STORE_OK) {
		out->made_at = sqlite3_column_int64(s, 0);
		memcpy(out->hash, sqlite3_column_blob(s, 1), SEAL_BYTES);
	}
	sql_end(db, s);
	return r;
}

enum store_result
seal_find(struct db *db, int file, struct seal *out)
{
	char page[65536], *at; /* SQLite's largest */
	int64_t number = 0, size = 0;
	ssize_t got;

	TRY(find_page(db, &number));
	TRY(read_seal(db, out));
	TRY(sql_number(db, "PRAGMA page_size", NO_ARGS, &size));
	if (number < 1 || size < 512 || size > (int64_t)sizeof(page) || number > INT64_MAX / size)
		return complain(db, "its seal has no place");
	got = pread(file, page, (size_t)size, (number - 1) * size);
	if (got != size)
		return complain(db, got < 0 ? strerror(errno) : "the file is cut short");
	at = memmem(page, (size_t)size, out->hash, SEAL_BYTES);
	if (at == NULL ||
	    memmem(at + 1, (size_t)(page + size - at - 1), out->hash, SEAL_BYTES) != NULL)
		return complain(db, "its seal is not where it was put");
	out->offset = (uint64_t)((number - 1) * size + (at - page));
	return STORE_OK;
}

/* ---- computing ---- */

/* Zeroes over what of the hash lies in the `len` bytes that begin at `from`. */
static void
blank(unsigned char *data, uint64_t from, size_t len, uint64_t offset)
{
	uint64_t i;

	for (i = offset; i < offset + SEAL_BYTES; i++)
		if (i >= from && i - from < len)
			data[i - from] = 0;
}

static bool
add_file(EVP_MD_CTX *md, int file, uint64_t bytes, uint64_t offset, const atomic_bool *stop)
{
	unsigned char *data = mem_alloc(READ_BYTES);
	uint64_t from = 0;
	ssize_t got = 1;

	while (from < bytes && got > 0 && (stop == NULL || !atomic_load(stop))) {
		size_t want = bytes - from < READ_BYTES ? (size_t)(bytes - from) : READ_BYTES;

		got = pread(file, data, want, (off_t)from);
		if (got <= 0)
			break;
		blank(data, from, (size_t)got, offset);
		if (EVP_DigestUpdate(md, data, (size_t)got) != 1)
			panic("SHA-256 failed");
		from += (uint64_t)got;
	}
	free(data);
	return from == bytes;
}

bool
seal_compute(int file, uint64_t bytes, uint64_t offset, const atomic_bool *stop,
	     unsigned char out[SEAL_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok;

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		panic("SHA-256 is not available");
	ok = add_file(md, file, bytes, offset, stop);
	if (ok && EVP_DigestFinal_ex(md, out, NULL) != 1)
		panic("SHA-256 failed");
	EVP_MD_CTX_free(md);
	return ok;
}
