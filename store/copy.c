/*
 * A copy of the store while it works. See copy.h and store_copy_start().
 *
 * The copy's thread has connections of its own. It reads in one transaction that it holds to the
 * end: so what is written meanwhile neither starts the copy again, as SQLite's backup would with a
 * moving source, nor waits for it; it stays in the log (-wal), which is as long as that for once.
 * The file is made by us, so that its mode is 0600 from the beginning and no file is overwritten.
 */
#include "store/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "store/copy_check.h"
#include "store/sqlite.h"
#include "store/writer.h"

enum { STEP_PAGES = 256 };

struct copying {
	struct store *s;
	struct store_copy *copy;
	struct buf error;
	char *directory;      /* of the copy */
	int file;             /* the copy; -1 until it was made */
	struct db *source;    /* reading, in a transaction */
	struct sqlite_db *to; /* NULL but while it is written */
	uint64_t bytes;       /* of the source */
	struct backup_report wanted;
};

static bool
fail(struct copying *c, enum store_result result)
{
	c->copy->result = result;
	return false;
}

static const char *
user_name(char *out, size_t size)
{
	struct passwd entry, *found = NULL;
	char space[1024];

	if (getpwuid_r(geteuid(), &entry, space, sizeof(space), &found) == 0 && found != NULL)
		snprintf(out, size, "%s", entry.pw_name);
	else
		snprintf(out, size, "uid %u", (unsigned)geteuid());
	return out;
}

/* ---- the file ---- */

/*
 * What stands beside a new database would be taken for its own; and a copy of such a name for what
 * belongs to the database that it stands beside, which SQLite deletes.
 */
static bool
check_beside(struct copying *c, const char *ending)
{
	const char *path = c->copy->path;
	size_t len = strlen(path), n = strlen(ending);
	char *beside = mem_printf("%s%s", path, ending);
	struct stat st;
	bool exists = lstat(beside, &st) == 0,
	     ends = len > n && strcmp(path + len - n, ending) == 0;

	if (exists)
		buf_printf(&c->error, "%s exists; remove it, or give another name", beside);
	else if (ends)
		buf_printf(&c->error, "%s is how SQLite names its own files; give another ending",
			   ending);
	free(beside);
	return !exists && !ends;
}

static bool
check_path(struct copying *c)
{
	static const char *const endings[] = {"-journal", "-wal", "-shm"};
	const char *path = c->copy->path, *slash = path != NULL ? strrchr(path, '/') : NULL;
	size_t i;

	if (slash == NULL || *path != '/') {
		buf_printf(&c->error, "give an absolute path: the gate has another working "
				      "directory");
		return fail(c, STORE_REFUSED);
	}
	c->directory = mem_strndup(path, slash > path ? (size_t)(slash - path) : 1);
	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (!check_beside(c, endings[i]))
			return fail(c, STORE_REFUSED);
	return true;
}

static void
explain_create(struct copying *c, int error)
{
	const char *path = c->copy->path;
	char user[64];
	struct stat st;

	user_name(user, sizeof(user));
	if (error == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		buf_printf(&c->error, "%s is a directory; give the name of a new file in it", path);
	else if (error == EEXIST)
		buf_printf(&c->error, "%s exists; give a new name, nothing is overwritten", path);
	else if (error == EISDIR)
		buf_printf(&c->error, "%s is a directory; give the name of a new file in it", path);
	else if (error == ENOENT || error == ENOTDIR)
		buf_printf(&c->error,
			   "there is no directory %s; make it, writable for the user %s, as whom "
			   "the gate runs",
			   c->directory, user);
	else if (error == EACCES || error == EPERM)
		buf_printf(&c->error,
			   "the gate runs as the user %s, who may not write to %s; give it the "
			   "right, or another directory (what its service allows counts too)",
			   user, c->directory);
	else if (error == EROFS)
		buf_printf(&c->error,
			   "%s is read-only for the gate, which runs as the user %s; give another "
			   "directory, or allow it in its service (ReadWritePaths)",
			   c->directory, user);
	else
		buf_printf(&c->error, "cannot create %s as the user %s: %s", path, user,
			   strerror(error));
}

static bool
make_file(struct copying *c)
{
	if (!check_path(c))
		return false;
	c->file = open(c->copy->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->file >= 0)
		return true;
	explain_create(c, errno);
	return fail(c, STORE_REFUSED);
}

/* Only if it is still the file that we made. */
static void
remove_file(const struct copying *c)
{
	struct stat made, named;

	if (c->file >= 0 && fstat(c->file, &made) == 0 && lstat(c->copy->path, &named) == 0 &&
	    made.st_dev == named.st_dev && made.st_ino == named.st_ino)
		unlink(c->copy->path);
}

/* ---- space ---- */

/* The size of the copy, and on the store's own file system what must stay free there. */
static bool
check_space(struct copying *c)
{
	const char *home = c->s->b->directory(c->s->work.db);
	uint64_t least = atomic_load(&c->s->room.min_free_space), have;
	char need_text[UNITS_BYTES], have_text[UNITS_BYTES];
	struct stat here, there;
	struct statvfs fs;

	if (statvfs(c->directory, &fs) != 0)
		return true; /* then a write will say it */
	if (stat(home, &here) != 0 || stat(c->directory, &there) != 0 ||
	    here.st_dev != there.st_dev)
		least = 0;
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (have >= c->bytes && have - c->bytes >= least)
		return true;
	buf_printf(&c->error, "%s has %s free, and the copy needs %s", c->directory,
		   units_format_size(have, have_text), units_format_size(c->bytes, need_text));
	if (least > 0)
		buf_printf(&c->error, " besides min_free_space (%s)",
			   units_format_size(least, need_text));
	buf_add_text(&c->error, "; make room, or give another directory");
	return fail(c, STORE_FULL);
}

/* ---- the pages ---- */

static bool
explain_source(struct copying *c, enum store_result r)
{
	buf_printf(&c->error, "cannot read the store: %s; see its disk and the log",
		   c->source->error);
	return fail(c, r);
}

static bool
open_source(struct copying *c)
{
	int64_t pages = 0;
	enum store_result r;

	c->source = c->s->b->open_reader(c->s->work.db, &c->error);
	if (c->source == NULL)
		return fail(c, STORE_BROKEN);
	r = c->s->b->begin(c->source, false);
	if (r == STORE_OK)
		r = copy_count(c->source, &c->wanted);
	if (r == STORE_OK)
		r = sql_number(c->source, "PRAGMA page_count", NO_ARGS, &pages);
	c->bytes = (uint64_t)pages * SQLITE_PAGE_BYTES;
	return r == STORE_OK || explain_source(c, r);
}

static bool
explain_target(struct copying *c, int code)
{
	bool full = (code & 0xff) == SQLITE_FULL;

	buf_printf(&c->error,
		   full ? "%s is full: %s; make room, or give another directory"
			: "cannot write to %s: %s; see its disk",
		   c->directory, sqlite3_errstr(code));
	return fail(c, full ? STORE_FULL : STORE_BROKEN);
}

static int
open_target(struct copying *c)
{
	int code;

	c->to = mem_zalloc(sizeof(*c->to));
	c->to->lock = -1;
	code = sqlite3_open_v2(c->copy->path, &c->to->sql,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			       NULL);
	/* It is nobody's yet: no journal, no locks; it is written through at the end. */
	if (code == SQLITE_OK)
		code = sqlite3_exec(c->to->sql,
				    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
				    " PRAGMA synchronous = OFF",
				    NULL, NULL, NULL);
	return code;
}

static bool
is_stopped(struct copying *c)
{
	if (!atomic_load(&c->s->copier.stop))
		return false;
	buf_clear(&c->error);
	buf_add_text(&c->error, "the gate is stopping: the copy was not finished, and is removed");
	c->copy->result = STORE_REFUSED;
	return true;
}

static bool
copy_pages(struct copying *c)
{
	struct sqlite_db *from = (struct sqlite_db *)c->source;
	sqlite3_backup *backup;
	int code = open_target(c);

	if (code != SQLITE_OK)
		return explain_target(c, code);
	backup = sqlite3_backup_init(c->to->sql, "main", from->sql, "main");
	if (backup == NULL)
		return explain_target(c, sqlite3_errcode(c->to->sql));
	do {
		code = sqlite3_backup_step(backup, STEP_PAGES);
		/* To the disk as it comes, never much of it at once: the gate's commits would wait
		 * behind it. */
		(void)sync_file_range(c->file, 0, 0,
				      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
	} while (code == SQLITE_OK && !is_stopped(c));
	sqlite3_backup_finish(backup);
	if (code == SQLITE_OK)
		return false; /* stopped */
	return code == SQLITE_DONE || explain_target(c, code);
}

/* ---- the seal ---- */

/* The journal's mode stands in the file: with the store's a reader would want a log beside it. */
static bool
add_seal(struct copying *c, struct seal *seal)
{
	enum store_result r;
	int code = sqlite3_exec(c->to->sql, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_exec(c->to->sql, "PRAGMA journal_mode = MEMORY; BEGIN", NULL, NULL,
				    NULL);
	if (code != SQLITE_OK)
		return explain_target(c, code);
	r = sql_run(&c->to->base, "DROP TABLE IF EXISTS seal", NO_ARGS);
	if (r == STORE_OK)
		r = seal_add(&c->to->base, clock_wall());
	if (r == STORE_OK)
		r = sql_run(&c->to->base, "COMMIT", NO_ARGS);
	if (r == STORE_OK)
		r = seal_find(&c->to->base, c->file, seal);
	if (r == STORE_OK)
		return true;
	buf_printf(&c->error, "cannot seal the copy: %s; see the disk of %s", c->to->base.error,
		   c->directory);
	return fail(c, r);
}

static void
close_target(struct copying *c)
{
	if (c->to != NULL)
		backend_sqlite.close(&c->to->base);
	c->to = NULL;
}

static bool
sync_directory(const struct copying *c)
{
	int directory = open(c->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = directory >= 0 && fsync(directory) == 0;

	if (directory >= 0)
		close(directory);
	return ok;
}

/* The hash into its place, and all of it to the disk. */
static bool
write_seal(struct copying *c, const struct seal *seal)
{
	unsigned char hash[SEAL_BYTES];
	struct stat st;

	errno = EIO; /* for a read that came short */
	if (fstat(c->file, &st) == 0 &&
	    seal_compute(c->file, (uint64_t)st.st_size, seal->offset, &c->s->copier.stop, hash) &&
	    pwrite(c->file, hash, sizeof(hash), (off_t)seal->offset) == (ssize_t)sizeof(hash) &&
	    fsync(c->file) == 0 && sync_directory(c))
		return true;
	buf_printf(&c->error, "cannot write to %s: %s; see its disk", c->directory,
		   strerror(errno));
	return fail(c, errno == ENOSPC || errno == EDQUOT ? STORE_FULL : STORE_BROKEN);
}

/* As anybody would who has but the file. */
static bool
verify(struct copying *c)
{
	struct backup_report *is = &c->copy->report, *wanted = &c->wanted;

	if (!copy_verify(c->copy->path, &c->s->copier.stop, is, &c->error))
		return fail(c, STORE_BROKEN);
	if (is->store_name == wanted->store_name && is->messages == wanted->messages &&
	    is->deliveries == wanted->deliveries && is->held == wanted->held &&
	    is->discarded == wanted->discarded && is->batches == wanted->batches &&
	    is->audit_id == wanted->audit_id && strcmp(is->audit_hash, wanted->audit_hash) == 0)
		return true;
	buf_printf(&c->error,
		   "the copy has not what the store had: %" PRIu64 " of %" PRIu64
		   " messages; see the disk of %s",
		   is->messages, wanted->messages, c->directory);
	return fail(c, STORE_BROKEN);
}

/* ---- one copy ---- */

static bool
make_copy(struct copying *c)
{
	struct seal seal;
	bool ok =
	    make_file(c) && open_source(c) && check_space(c) && copy_pages(c) && add_seal(c, &seal);

	/* The log need not wait for the rest. */
	if (c->source != NULL) {
		c->s->b->rollback(c->source);
		c->s->b->close(c->source);
	}
	close_target(c);
	return ok && write_seal(c, &seal) && verify(c) && !is_stopped(c);
}

static void
log_end(const struct store_copy *copy)
{
	if (copy->result == STORE_OK)
		log_info("- store.copied path=%s bytes=%" PRIu64 " messages=%" PRIu64,
			 log_safe(copy->path), copy->report.bytes, copy->report.messages);
	else
		log_warn("- store.copy_failed path=%s error=%s", log_safe(copy->path),
			 log_safe(copy->error));
	if (copy->result == STORE_OK && copy->report.audit_bad != 0)
		/* As it is in the store: the copy is whole. */
		log_warn("- store.copy_audit_broken path=%s row=%" PRId64, log_safe(copy->path),
			 copy->report.audit_bad);
}

static void *
copy_run(void *arg)
{
	struct copying *c = arg;
	struct copier *copier = &c->s->copier;
	struct store_copy *copy = c->copy;

	copy->result = STORE_OK;
	if (!make_copy(c)) {
		(void)is_stopped(c); /* then that is the reason, whatever it ended with */
		remove_file(c);
		snprintf(copy->error, sizeof(copy->error), "%s", buf_text(&c->error));
	}
	if (c->file >= 0)
		close(c->file);
	log_end(copy);
	buf_free(&c->error);
	free(c->directory);
	free(c);
	mem_trim(); /* the pages that were read and checked */
	pthread_mutex_lock(&copier->lock);
	copier->busy = false;
	pthread_mutex_unlock(&copier->lock);
	copy->done(copy);
	return NULL;
}

static bool
start_thread(struct store *s, struct store_copy *copy)
{
	struct copying *c = mem_zalloc(sizeof(*c));

	*c = (struct copying){.s = s, .copy = copy, .file = -1};
	if (pthread_create(&s->copier.thread, NULL, copy_run, c) == 0)
		return true;
	free(c);
	return false;
}

/* Under the lock. NULL if it runs now, else why not. */
static const char *
start(struct store *s, struct store_copy *copy)
{
	struct copier *copier = &s->copier;

	if (s->b->directory(s->work.db) == NULL)
		return "a store in memory cannot be copied: set `store` to a file";
	if (copier->busy)
		return "another copy is being made: wait until it is done";
	if (atomic_load(&copier->stop))
		return "the gate is stopping";
	if (copier->started)
		pthread_join(copier->thread, NULL); /* it is only about to end */
	copier->started = copier->busy = start_thread(s, copy);
	return copier->busy ? NULL : "the system has no thread for it: try again";
}

void
store_copy_start(struct store *s, struct store_copy *copy)
{
	const char *why;

	copy->result = STORE_OK;
	copy->error[0] = '\0';
	memset(&copy->report, 0, sizeof(copy->report));
	pthread_mutex_lock(&s->copier.lock);
	why = start(s, copy);
	pthread_mutex_unlock(&s->copier.lock);
	if (why == NULL)
		return;
	copy->result = STORE_REFUSED;
	snprintf(copy->error, sizeof(copy->error), "%s", why);
	copy->done(copy);
}

void
copier_init(struct copier *c)
{
	pthread_mutex_init(&c->lock, NULL);
	atomic_init(&c->stop, false);
}

void
copier_end(struct copier *c)
{
	bool started;

	atomic_store(&c->stop, true);
	pthread_mutex_lock(&c->lock);
	started = c->started;
	c->started = false;
	pthread_mutex_unlock(&c->lock);
	if (started)
		pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
}
