/*
 * Reads, changes and replaces a file of NAME:... lines. Called by cli/passwd.c and cli/token.c,
 * which open and close it.
 */
#include "cli/name_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/screen.h"

/* As mailfused has it. */
enum { FILE_MAX = 16 * 1024 * 1024 };

/* Another change takes milliseconds; whoever holds the folder for longer is something else. */
enum { LOCK_TRIES = 100, LOCK_WAIT_MS = 100 };

static bool
fail(struct buf *error, const char *what, const char *path)
{
	buf_printf(error, "cannot %s %s: %s%s", what, screen_text(path), strerror(errno),
		   errno == EACCES && geteuid() != 0 ? "; try sudo" : "");
	return false;
}

/* Where the file is, or will be: links are followed, so that the link stays one. */
static bool
find_path(struct name_file *f, const char *path, struct buf *error)
{
	char *slash, *folder;
	struct stat st;

	f->path = realpath(path, NULL);
	if (f->path == NULL) {
		if (errno != ENOENT || (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)))
			return fail(error, "find", path);
		slash = strrchr(path, '/');
		f->folder = slash == NULL   ? mem_strdup(".")
			    : slash == path ? mem_strdup("/")
					    : mem_strndup(path, (size_t)(slash - path));
		folder = realpath(f->folder, NULL);
		if (folder == NULL) {
			fail(error, "find the folder", f->folder);
			buf_printf(error, "; make it, or name another file with %s FILE",
				   f->kind->option);
			return false;
		}
		f->path = mem_printf("%s/%s", folder, slash == NULL ? path : slash + 1);
		free(f->folder);
		f->folder = folder;
		return true;
	}
	slash = strrchr(f->path, '/');
	f->folder = mem_strndup(f->path, slash == f->path ? 1 : (size_t)(slash - f->path));
	return true;
}

static bool
lock_folder(struct name_file *f, struct buf *error)
{
	const struct timespec wait = {.tv_nsec = LOCK_WAIT_MS * 1000000L};
	int i;

	f->lock = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->lock < 0)
		return fail(error, "open the folder", f->folder);
	if (access(f->folder, W_OK | X_OK) != 0)
		return fail(error, "write in the folder", f->folder);
	for (i = 0; flock(f->lock, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail(error, "lock the folder", f->folder);
		if (i == LOCK_TRIES) {
			buf_printf(error,
				   "another mailfuse %s is changing a file in %s; try "
				   "again when it has ended",
				   f->kind->verb, screen_text(f->folder));
			return false;
		}
		nanosleep(&wait, NULL);
	}
	return true;
}

static bool
read_text(struct name_file *f, struct buf *error)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = 1;

	buf_reserve(&f->text, 1);
	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		if (fd < 0)
			return fail(error, "read", f->path);
		close(fd);
		buf_printf(error, "%s is not a regular file", screen_text(f->path));
		return false;
	}
	f->exists = true;
	f->mode = st.st_mode & 07777;
	f->owner = st.st_uid;
	f->group = st.st_gid;
	while (n > 0 && f->text.len <= FILE_MAX) {
		buf_reserve(&f->text, 65536);
		n = read(fd, f->text.data + f->text.len, 65536);
		if (n > 0)
			f->text.len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0)
		fail(error, "read", f->path);
	else if (n > 0)
		buf_printf(error, "%s is larger than 16 MiB; is it the %s?", screen_text(f->path),
			   f->kind->what);
	close(fd);
	return n == 0;
}

bool
name_file_open(struct name_file *f, const struct name_file_kind *kind, const char *path,
	       struct buf *error)
{
	*f = (struct name_file){.kind = kind, .lock = -1};
	return find_path(f, path, error) && lock_folder(f, error) && read_text(f, error);
}

void
name_file_close(struct name_file *f)
{
	if (f->lock >= 0)
		close(f->lock);
	free(f->path);
	free(f->folder);
	buf_free(&f->text);
}

/* The first line of the name at or behind `from`, as an offset; *end is behind its line end. False
 * if there is none. */
static bool
find_line(const struct name_file *f, const char *name, size_t from, size_t *start, size_t *end)
{
	size_t name_len = strlen(name);

	for (*start = from; *start < f->text.len; *start = *end) {
		const char *line = f->text.data + *start;
		const char *newline = memchr(line, '\n', f->text.len - *start);

		*end = newline == NULL ? f->text.len : (size_t)(newline + 1 - f->text.data);
		if (*end - *start > name_len && memcmp(line, name, name_len) == 0 &&
		    line[name_len] == ':')
			return true;
	}
	return false;
}

bool
name_file_has(const struct name_file *f, const char *name)
{
	size_t start, end;

	return find_line(f, name, 0, &start, &end);
}

void
name_file_set(struct name_file *f, const char *name, const char *rest)
{
	struct buf text = {0};
	size_t from = 0, start, end;

	while (find_line(f, name, from, &start, &end)) {
		buf_add(&text, f->text.data + from, start - from);
		if (rest != NULL)
			buf_printf(&text, "%s:%s\n", name, rest);
		rest = NULL;
		from = end;
	}
	buf_add(&text, f->text.data + from, f->text.len - from);
	if (rest != NULL && text.len > 0 && text.data[text.len - 1] != '\n')
		buf_add_char(&text, '\n');
	if (rest != NULL)
		buf_printf(&text, "%s:%s\n", name, rest);
	buf_free(&f->text);
	f->text = text;
}

static bool
write_all(int fd, const struct buf *text)
{
	size_t done = 0;
	ssize_t n;

	while (done < text->len) {
		n = write(fd, text->data + done, text->len - done);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			done += (size_t)n;
	}
	return fsync(fd) == 0;
}

/* Nobody but its owner can read the new file before it has the right group. */
static bool
set_owner(const struct name_file *f, int fd, struct buf *error)
{
	struct stat folder, now;

	if (fstat(f->lock, &folder) != 0 || fstat(fd, &now) != 0)
		return fail(error, "look at", f->path);
	if (!f->exists) {
		/* Who may not give it away writes a file of their own group. */
		if (now.st_gid != folder.st_gid && fchown(fd, (uid_t)-1, folder.st_gid) != 0 &&
		    errno != EPERM)
			return fail(error, "set the group of", f->path);
	} else if ((now.st_uid != f->owner || now.st_gid != f->group) &&
		   fchown(fd, f->owner, f->group) != 0) {
		return fail(error, "keep the owner and group of", f->path);
	}
	if (fchmod(fd, f->exists ? f->mode : 0640) != 0)
		return fail(error, "set the mode of", f->path);
	return true;
}

bool
name_file_write(const struct name_file *f, struct buf *error)
{
	char *temporary = mem_printf("%s.XXXXXX", f->path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	bool ok = false;

	if (fd < 0) {
		fail(error, "write beside", f->path);
		free(temporary);
		return false;
	}
	if (!set_owner(f, fd, error))
		goto out;
	if (!write_all(fd, &f->text)) {
		fail(error, "write", temporary);
		goto out;
	}
	if (rename(temporary, f->path) != 0) {
		fail(error, "replace", f->path);
		goto out;
	}
	ok = fsync(f->lock) == 0 || fail(error, "make sure that the disk has the new", f->path);
out:
	if (!ok)
		unlink(temporary);
	close(fd);
	free(temporary);
	return ok;
}
