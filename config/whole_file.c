/*
 * Reads a file with secrets at once. Called when a keyring is made; the file is closed within the
 * call.
 */
#include "config/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool
whole_file_read(const char *path, size_t max, const char *cure, struct buf *out, struct buf *why)
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
