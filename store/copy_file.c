/*
 * The file of a copy. See copy_file.h; called by backup.c and, for a copy that was just made, by
 * copy.c. What can be said by the file's first 100 bytes (SQLite's file format, 1.3) is said before
 * SQLite sees it.
 */
#include "store/copy_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite.h"

enum {
	HEADER_BYTES = 100,
	PROGRESS_STEPS = 10000,    /* of SQLite's machine, between looks at `stop` */
	VALUE_BYTES_MAX = 64 << 20 /* far above a chunk and a header section */
};

#define FETCH_AGAIN "fetch it again, or take another copy"

/* ---- the file ---- */

static bool
open_file(struct copy_file *f, struct buf *error)
{
	/* A device is not even opened, and a FIFO would block. */
	if (stat(f->path, &f->st) != 0) {
		buf_printf(error, "cannot read %s: %s; give the path of a copy", f->path,
			   strerror(errno));
		return false;
	}
	if (S_ISREG(f->st.st_mode)) {
		f->file = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (f->file < 0 || fstat(f->file, &f->st) != 0) {
			buf_printf(error, "cannot read %s: %s; see its owner and mode", f->path,
				   strerror(errno));
			return false;
		}
	}
	if (S_ISREG(f->st.st_mode))
		return true;
	buf_printf(error, "%s is no regular file; give the path of a copy", f->path);
	return false;
}

static uint32_t
number_at(const unsigned char *header, size_t at)
{
	return (uint32_t)header[at] << 24 | (uint32_t)header[at + 1] << 16 |
	       (uint32_t)header[at + 2] << 8 | header[at + 3];
}

/* Whose it is, of which version, and whether it is all there. */
static bool
check_header(struct copy_file *f, struct buf *error)
{
	static const char magic[] = "SQLite format 3";
	unsigned char h[HEADER_BYTES] = {0};
	ssize_t got = pread(f->file, h, sizeof(h), 0);
	uint64_t page = (uint64_t)h[16] << 8 | h[17], size;
	int newest = 0;

	while (sqlite_schema_step(newest + 1) != NULL)
		newest++;
	f->schema = number_at(h, 60);
	size = (page == 1 ? 65536 : page) * number_at(h, 28);
	if (got == 0)
		buf_printf(error, "%s is empty; " FETCH_AGAIN, f->path);
	else if (got < HEADER_BYTES || memcmp(h, magic, sizeof(magic)) != 0)
		buf_printf(error,
			   "%s is no copy of a mailfuse store; give a file that `mailfuse backup` "
			   "has made",
			   f->path);
	else if (number_at(h, 68) != SQLITE_APPLICATION_ID)
		buf_printf(error,
			   "%s is another program's database, or not finished; give a file that "
			   "`mailfuse backup` has made",
			   f->path);
	else if (f->schema > newest)
		buf_printf(error,
			   "%s was written by a newer mailfuse (schema %" PRId64 ", this one knows "
			   "%d); use that version",
			   f->path, f->schema, newest);
	else if ((uint64_t)f->st.st_size != size)
		buf_printf(error,
			   "%s is not whole: it has %" PRIu64 " bytes, and should have %" PRIu64
			   "; " FETCH_AGAIN,
			   f->path, (uint64_t)f->st.st_size, size);
	else
		return true;
	return false;
}

bool
copy_file_is_unchanged(const struct copy_file *f, struct buf *error)
{
	struct stat now, named;

	if (fstat(f->file, &now) == 0 && stat(f->path, &named) == 0 &&
	    named.st_dev == f->st.st_dev && named.st_ino == f->st.st_ino &&
	    now.st_size == f->st.st_size && now.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec)
		return true;
	buf_printf(error, "%s was changed while it was read; see who writes it, and try again",
		   f->path);
	return false;
}

/* ---- SQLite ---- */

/* file:/path?immutable=1, each byte that a URI could take for something else as %XX. */
static char *
make_uri(const char *path)
{
	struct buf uri = {0};

	buf_add_text(&uri, "file:");
	for (; *path != '\0'; path++) {
		unsigned char c = (unsigned char)*path;

		if (isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_')
			buf_add_char(&uri, (char)c);
		else
			buf_printf(&uri, "%%%02X", c);
	}
	buf_add_text(&uri, "?mode=ro&immutable=1");
	return buf_take(&uri);
}

static int
look_at_stop(void *context)
{
	const struct copy_file *f = context;

	return f->stop != NULL && atomic_load(f->stop);
}

static void
harden(struct copy_file *f, sqlite3 *sql)
{
	static const struct {
		int option, value;
	} options[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	    {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_DQS_DDL, 0},
	};
	static const struct {
		int limit, value;
	} limits[] = {
	    {SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX},
	    {SQLITE_LIMIT_SQL_LENGTH, 1 << 20},
	    {SQLITE_LIMIT_COLUMN, 100},
	    {SQLITE_LIMIT_EXPR_DEPTH, 50},
	    {SQLITE_LIMIT_COMPOUND_SELECT, 5},
	    {SQLITE_LIMIT_ATTACHED, 0},
	    {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
	    {SQLITE_LIMIT_WORKER_THREADS, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		sqlite3_db_config(sql, options[i].option, options[i].value, NULL);
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(sql, limits[i].limit, limits[i].value);
	sqlite3_progress_handler(sql, PROGRESS_STEPS, look_at_stop, f);
}

void
copy_file_explain(const struct copy_file *f, struct buf *error)
{
	buf_printf(error, "%s is damaged (%s); " FETCH_AGAIN, f->path, f->db->error);
}

static bool
connect_file(struct copy_file *f, struct buf *error)
{
	struct sqlite_db *db = mem_zalloc(sizeof(*db));
	char *uri = make_uri(f->path);
	int code;

	db->lock = -1;
	f->db = &db->base;
	code = sqlite3_open_v2(uri, &db->sql,
			       SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
				   SQLITE_OPEN_EXRESCODE,
			       NULL);
	free(uri);
	if (code == SQLITE_OK) {
		harden(f, db->sql);
		code = sqlite3_exec(db->sql,
				    "PRAGMA cell_size_check = ON; PRAGMA query_only = ON;"
				    " PRAGMA mmap_size = 0",
				    NULL, NULL, NULL);
	}
	if (sql_result(db, code) == STORE_OK)
		return true;
	copy_file_explain(f, error);
	return false;
}

/* ---- the seal ---- */

static bool
check_seal(struct copy_file *f, struct buf *error)
{
	unsigned char hash[SEAL_BYTES];
	enum store_result r = seal_find(f->db, f->file, &f->seal);

	if (r == STORE_MISSING)
		buf_printf(error,
			   "%s has no seal: it is a store itself, a plain copy of its file, which "
			   "lacks what the gate had not written back yet, or a backup that was not "
			   "finished; make one with `mailfuse backup`",
			   f->path);
	else if (r != STORE_OK)
		copy_file_explain(f, error);
	else if (!seal_compute(f->file, (uint64_t)f->st.st_size, f->seal.offset, f->stop, hash))
		buf_printf(error, "cannot read all of %s; see its disk, and try again", f->path);
	else if (memcmp(hash, f->seal.hash, SEAL_BYTES) != 0)
		buf_printf(
		    error,
		    "%s is not what was written: its SHA-256 differs from its seal; " FETCH_AGAIN,
		    f->path);
	else
		return true;
	return false;
}

bool
copy_file_open(struct copy_file *f, const char *path, const atomic_bool *stop, struct buf *error)
{
	*f = (struct copy_file){.path = mem_strdup(path), .file = -1, .stop = stop};
	return open_file(f, error) && check_header(f, error) && connect_file(f, error) &&
	       check_seal(f, error);
}

void
copy_file_close(struct copy_file *f)
{
	if (f->db != NULL)
		backend_sqlite.close(f->db);
	if (f->file >= 0)
		close(f->file);
	free(f->path);
}
