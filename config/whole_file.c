/*
 * Reads a file with secrets at once, and cuts it into lines. Called by users.c and tokens.c when a
 * keyring is made; the file is closed within the call.
 */
#include "config/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/problem.h"

/* Of a file that is none, not more complaints than these. */
enum { PROBLEMS_MAX = 20 };

/* All of the file, and a line end behind it. */
static bool
read_all(int fd, size_t max, struct buf *out, struct buf *why)
{
	size_t before;
	ssize_t n;

	do {
		before = out->len;
		buf_reserve(out, 65536);
		n = read(fd, out->data + before, 65536);
		if (n > 0)
			out->len += (size_t)n;
		if (out->len > max) {
			buf_printf(why, "larger than %zu MiB; is it the right file?", max >> 20);
			return false;
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0) {
		buf_printf(why, "cannot be read: %s", strerror(errno));
		return false;
	}
	buf_add_char(out, '\n');
	return true;
}

static bool
read_whole(const char *path, size_t max, const char *cure, struct buf *out, struct buf *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok = false;

	if (fd < 0 || fstat(fd, &st) != 0)
		buf_printf(why, "cannot be read: %s; %s", strerror(errno), cure);
	else if (!S_ISREG(st.st_mode))
		buf_add_text(why, "is not a regular file");
	else if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
		buf_add_text(why, "every user can read or write it; run chmod o-rw on it");
	else
		ok = read_all(fd, max, out, why);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void
read_lines(char *text, size_t len, whole_file_line_fn *each, void *context,
	   struct problems *problems)
{
	char *at = text, *end = text + len, *newline;
	int line = 1;

	for (; at < end; at = newline + 1, line++) {
		if (problems->count >= PROBLEMS_MAX) {
			problem_add(problems, line, "more is wrong; is it the right file?");
			return;
		}
		newline = memchr(at, '\n', (size_t)(end - at));
		*newline = '\0';
		each(context, at, (size_t)(newline - at), line, problems);
	}
}

bool
whole_file_lines(const char *path, size_t max, const char *cure, whole_file_line_fn *each,
		 void *context, char **text, struct buf *errors)
{
	struct problems problems = {0};
	struct buf whole = {0}, why = {0};
	size_t len;
	bool good;

	if (read_whole(path, max, cure, &whole, &why)) {
		len = whole.len;
		*text = buf_take(&whole);
		read_lines(*text, len, each, context, &problems);
	} else {
		problem_add(&problems, 0, "%s", buf_text(&why));
	}
	good = problems.count == 0;
	problem_print(&problems, path, errors);
	problem_free(&problems);
	buf_free(&whole);
	buf_free(&why);
	return good;
}
