/*
 * Reads the value of a setting from a file of its own, so that a secret need not stand in the
 * configuration. Called by value.c; opens and closes the file within the call.
 */
#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { SECRET_MAX = 4096 };

static bool
read_line(int fd, struct buf *out)
{
	char bytes[SECRET_MAX];
	size_t have = 0;
	ssize_t n;

	do {
		n = read(fd, bytes + have, sizeof(bytes) - have);
		if (n > 0)
			have += (size_t)n;
	} while ((n > 0 && have < sizeof(bytes)) || (n < 0 && errno == EINTR));
	if (n < 0)
		return false;
	for (size_t i = 0; i < have; i++)
		if (bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == '\0')
			have = i;
	buf_add(out, bytes, have);
	explicit_bzero(bytes, sizeof(bytes));
	return true;
}

bool
secret_check_mode(const char *name, const char *path, mode_t mode, struct buf *why)
{
	const char *who = NULL, *what = "write";

	if ((mode & S_IRWXO) != 0)
		who = "every user";
	else if ((mode & S_IWGRP) != 0)
		who = "its whole group";
	if ((mode & S_IROTH) != 0)
		what = "read";
	else if ((mode & S_IRWXO) == S_IXOTH)
		what = "run";
	if (who != NULL)
		buf_printf(why, "%s: %s can %s %s; run chmod 640 %s", name, who, what,
			   log_safe(path), log_safe(path));
	return who == NULL;
}

bool
secret_read(const char *name, const char *path, bool secret, struct buf *out, struct buf *why)
{
	struct stat st;
	bool ok = false;
	int fd;

	if (path[0] != '/') {
		buf_printf(why, "%s: the path behind file: must begin with /, not %s", name,
			   log_safe(path));
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		buf_printf(why, "%s: cannot read %s: %s", name, log_safe(path), strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		buf_printf(why, "%s: %s is not a regular file", name, log_safe(path));
		goto out;
	}
	if (secret && !secret_check_mode(name, path, st.st_mode, why))
		goto out;
	if (!read_line(fd, out)) {
		buf_printf(why, "%s: cannot read %s: %s", name, log_safe(path), strerror(errno));
		goto out;
	}
	if (out->len == 0) {
		buf_printf(why, "%s: the first line of %s is empty; write the value there", name,
			   log_safe(path));
		goto out;
	}
	ok = true;
out:
	if (fd >= 0)
		close(fd);
	return ok;
}
