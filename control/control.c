/*
 * The control socket: made here, served by api.c. Called by daemon/ at start and stop, on the main
 * thread. A stale socket is known by nobody answering on it, never by its age; what is
 * no socket is never removed.
 */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/button.h"
#include "control/api.h"

enum { BACKLOG = 64 };
/* At a stop, calls whose write is under way get this long to be answered. */
#define DRAIN_PATIENCE (10 * CLOCK_SECOND)

struct control {
	struct control_deps deps;
	struct button *button;
	struct api *api;
	char *path;
	dev_t device; /* the socket that is ours: */
	ino_t inode;  /* another's is not removed */
};

static bool
fill_address(struct sockaddr_un *address, const char *path, struct buf *error)
{
	size_t len = strlen(path);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len == 0) {
		buf_add_text(error, "control is empty; write the path of a socket, such as "
				    "control = \"/run/mailfuse/control.sock\"");
		return false;
	}
	if (len >= sizeof(address->sun_path)) {
		buf_printf(
		    error,
		    "control = \"%s\" has %zu bytes; the path of a socket may have %zu: choose a "
		    "shorter one",
		    path, len, sizeof(address->sun_path) - 1);
		return false;
	}
	memcpy(address->sun_path, path, len);
	return true;
}

static int
connect_errno(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int result = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		result = errno;
	close(fd);
	return result;
}

/* Makes way for our socket. */
static bool
remove_stale(const struct sockaddr_un *address, struct buf *error)
{
	const char *path = address->sun_path;
	struct stat st;
	int result;

	if (lstat(path, &st) != 0)
		return true; /* nothing there; what else may be wrong bind() says */
	if (!S_ISSOCK(st.st_mode)) {
		buf_printf(
		    error,
		    "%s exists and is not a socket; remove it or set `control` to another path",
		    path);
		return false;
	}
	result = connect_errno(address);
	if (result == 0 || result == EAGAIN || result == EINPROGRESS) {
		buf_printf(
		    error,
		    "another mailfused answers on %s; stop that one first, or set `control` to "
		    "another path",
		    path);
		return false;
	}
	if (result != ECONNREFUSED) {
		buf_printf(
		    error,
		    "cannot tell whether another mailfused answers on %s: %s; if none runs, remove "
		    "the file",
		    path, strerror(result));
		return false;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		buf_printf(error, "cannot remove the stale socket %s: %s; remove it by hand", path,
			   strerror(errno));
		return false;
	}
	log_info("- control.stale-socket-removed path=%s", log_safe(path));
	return true;
}

static void
explain_bind(const char *path, int result, struct buf *error)
{
	char *directory = mem_strdup(path);
	char *slash = strrchr(directory, '/');

	if (slash == NULL)
		memcpy(directory, ".", 2);
	else
		slash[slash == directory] = '\0';
	if (result == ENOENT)
		buf_printf(
		    error,
		    "cannot make the socket %s: there is no directory %s; make it with `install -d "
		    "-m 0750 %s` (owned by the user that mailfused runs as), or set `control` to "
		    "another path",
		    path, directory, directory);
	else if (result == EACCES || result == EPERM)
		buf_printf(
		    error,
		    "cannot make the socket %s: user id %u may not write to %s; change its owner, "
		    "or set `control` to another path",
		    path, (unsigned)geteuid(), directory);
	else
		buf_printf(error, "cannot make the socket %s: %s; set `control` to another path",
			   path, strerror(result));
	free(directory);
}

/* The listening socket, mode 0660 from its first moment; -1 and a reason. */
static int
open_socket(const char *path, struct buf *error)
{
	struct sockaddr_un address;
	int fd, result;
	mode_t mask;

	if (!fill_address(&address, path, error) || !remove_stale(&address, error))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		buf_printf(error, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	mask = umask(0117);
	result = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
	umask(mask);
	if (result != 0) {
		explain_bind(path, result, error);
		close(fd);
		return -1;
	}
	if (listen(fd, BACKLOG) != 0) {
		buf_printf(error, "cannot listen on %s: %s", path, strerror(errno));
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

struct control *
control_new(const struct control_deps *deps, const char *path, struct buf *error)
{
	struct control *c;
	struct stat st = {0};
	int fd = open_socket(path, error);

	if (fd < 0)
		return NULL;
	c = mem_zalloc(sizeof(*c));
	c->deps = *deps;
	c->path = mem_strdup(path);
	if (lstat(path, &st) == 0) {
		c->device = st.st_dev;
		c->inode = st.st_ino;
	}
	c->button = button_new(&c->deps);
	c->api = api_new(&c->deps, c->button, fd);
	log_info("- control.listening path=%s", log_safe(path));
	return c;
}

void
control_serve_http(struct control *c, int fd)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";

	if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		panic("the socket of http has no address");
	api_serve_http(c->api, fd, host);
	log_info(bound.ss_family == AF_INET6 ? "- http.listening address=[%s]:%s"
					     : "- http.listening address=%s:%s",
		 host, port);
}

void
control_free(struct control *c)
{
	struct stat st;

	if (c == NULL)
		return;
	if (lstat(c->path, &st) == 0 && st.st_dev == c->device && st.st_ino == c->inode)
		unlink(c->path);
	api_drain(c->api, DRAIN_PATIENCE);
	api_free(c->api);
	button_free(c->button);
	free(c->path);
	free(c);
}

const char *
control_library_version(void)
{
	return jansson_version_str();
}
