/*
 * What the process may do: as little as it can. privileges_limit() is called first of all by
 * main.c; privileges_drop() once by daemon.c, on the main thread before there are others, when the
 * keys are read and the sockets bound. Nothing here is undone.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"

/* A core holds mail, keys and passwords; a process that is not dumpable can also not be traced by
 * others of its user. The system makes it dumpable again at each change of user. */
static void
forbid_cores(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		log_warn("- privileges.cores error=%s", log_safe(strerror(errno)));
}

void
privileges_limit(void)
{
	forbid_cores();
	/* Also for what an exec alert starts: a setuid program gives nobody more rights. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		log_warn("- privileges.no-new-privs error=%s", log_safe(strerror(errno)));
	umask(077);
}

/* ---- the user */

/* The account called `name`, in `found`, its strings in *memory for free(); false if none. */
static bool
find_user(const char *name, struct passwd *found, char **memory, struct buf *error)
{
	size_t size = 4096;
	struct passwd *result;
	int code;

	*memory = NULL;
	do {
		size *= 2;
		*memory = mem_resize_array(*memory, size, 1);
		code = getpwnam_r(name, found, *memory, size, &result);
	} while (code == ERANGE && size < (1 << 20));
	if (code == 0 && result != NULL)
		return true;
	if (code == 0 || code == ENOENT || code == ESRCH)
		buf_printf(error,
			   "user = %s: there is no such user; make it with `useradd --system %s`, "
			   "or name another",
			   log_safe(name), log_safe(name));
	else
		buf_printf(error, "user = %s cannot be looked up: %s; start again later",
			   log_safe(name), strerror(code));
	return false;
}

static bool
no_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	memset(none, 0, sizeof(none));
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) != 0 || syscall(SYS_capget, &head, none) != 0)
		return false;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if ((none[i].effective | none[i].permitted) != 0)
			return false;
	return true;
}

/* True if nothing of what the process was is left, and none of it can be had again. */
static bool
is_only(uid_t uid, gid_t gid)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (uids[i] != uid || gids[i] != gid)
			return false;
	return setresuid(0, 0, 0) != 0 && setuid(0) != 0 && seteuid(0) != 0 && getuid() == uid;
}

/* From root to `user`. The order matters: groups can only be changed while we are root. */
static bool
become(const struct passwd *user, struct buf *error)
{
	const char *failed = NULL;

	if (initgroups(user->pw_name, user->pw_gid) != 0)
		failed = "initgroups";
	else if (setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0)
		failed = "setresgid";
	else if (setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
		failed = "setresuid";
	if (failed != NULL) {
		buf_printf(error,
			   "cannot become user %s (%s: %s); start mailfused with the capabilities "
			   "CAP_SETUID and CAP_SETGID, or as that user",
			   user->pw_name, failed, strerror(errno));
		return false;
	}
	if (!no_capabilities() || !is_only(user->pw_uid, user->pw_gid)) {
		buf_printf(error, "became user %s, but rights of root are left; not started",
			   user->pw_name);
		return false;
	}
	forbid_cores();
	log_info("- privileges.dropped user=%s uid=%u gid=%u", user->pw_name,
		 (unsigned)user->pw_uid, (unsigned)user->pw_gid);
	return true;
}

/* ---- what the user needs */

static bool
is_denied(const char *path, int mode)
{
	return access(path, mode) != 0 && errno != ENOENT;
}

/* The store was perhaps made by root, in an earlier start. */
static bool
check_store(const struct config *c, const char *user, struct buf *error)
{
	static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
	char *folder, *slash, *denied = NULL;

	if (c->store[0] != '/') /* in memory */
		return true;
	folder = mem_strdup(c->store);
	slash = strrchr(folder, '/');
	slash[slash == folder] = '\0';
	if (is_denied(folder, W_OK | X_OK))
		denied = mem_strdup(folder);
	for (size_t i = 0; denied == NULL && i < sizeof(ends) / sizeof(ends[0]); i++) {
		char *path = mem_printf("%s%s", c->store, ends[i]);

		if (is_denied(path, R_OK | W_OK))
			denied = path;
		else
			free(path);
	}
	if (denied != NULL)
		buf_printf(error, "user %s cannot write %s; run chown %s %s%s", user, denied, user,
			   strcmp(denied, folder) == 0 ? folder : c->store,
			   strcmp(denied, folder) == 0 ? "" : "*");
	free(folder);
	slash = denied;
	free(denied);
	return slash == NULL;
}

static void
warn_unreadable(const char *path, const char *user, const char *group)
{
	if (path[0] != '\0' && access(path, R_OK) != 0)
		log_warn("- privileges.unreadable user=%s path=%s a reload will be refused: run "
			 "chgrp %s and chmod 640 on it",
			 user, log_safe(path), group);
}

/* The configuration, and what its file:PATH values name, which nobody knows but who loads it. */
static void
warn_config(const char *path, const char *user, const char *group)
{
	struct buf errors = {0};
	struct stat st;

	if (path[0] == '\0' || (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
		return;
	config_unref(config_load(path, &errors));
	if (errors.len > 0) {
		errors.data[strcspn(errors.data, "\n")] = '\0';
		log_warn("- privileges.unreadable user=%s why=%s a reload will be refused: run "
			 "chgrp %s and chmod 640 on it",
			 user, log_safe(errors.data), group);
	}
	buf_free(&errors);
}

/* What a reload will want to read; said now, and not on the day of the reload. */
static void
warn_reload(const struct config *c, const struct passwd *user)
{
	const struct group *entry = getgrgid(user->pw_gid);
	const char *name = user->pw_name, *group = entry != NULL ? entry->gr_name : name;

	warn_config(c->path, name, group);
	warn_unreadable(c->users, name, group);
	for (size_t i = 0; i < c->listener_count; i++) {
		warn_unreadable(c->listeners[i].certificate, name, group);
		if (strcmp(c->listeners[i].key, c->listeners[i].certificate) != 0)
			warn_unreadable(c->listeners[i].key, name, group);
		warn_unreadable(c->listeners[i].client_ca, name, group);
	}
	for (size_t i = 0; i < c->upstream_count; i++)
		warn_unreadable(c->upstreams[i].ca, name, group);
}

/* ---- the drop */

static bool
drop_to(const struct config *c, const struct passwd *user, struct buf *error)
{
	if (geteuid() != 0 && user->pw_uid != geteuid()) {
		buf_printf(
		    error,
		    "user = %s, but mailfused was started as user id %u, which cannot become "
		    "another; start it as root or as %s, or remove user",
		    user->pw_name, (unsigned)geteuid(), user->pw_name);
		return false;
	}
	if (geteuid() == 0 && user->pw_uid != 0) {
		if (!become(user, error) || !check_store(c, user->pw_name, error))
			return false;
		warn_reload(c, user);
	}
	return true;
}

bool
privileges_check_user(const struct config *c, struct buf *error)
{
	struct passwd user;
	char *memory = NULL;
	bool ok = c->user[0] == '\0' || find_user(c->user, &user, &memory, error);

	free(memory);
	return ok;
}

bool
privileges_drop(const struct config *c, struct buf *error)
{
	struct passwd user;
	char *memory = NULL;
	bool ok = true;

	if (c->user[0] != '\0')
		ok = find_user(c->user, &user, &memory, error) && drop_to(c, &user, error);
	free(memory);
	if (!ok)
		return false;
	if (geteuid() == 0)
		log_warn("- privileges.root mailfused runs as root, which it need not: set user = "
			 "\"mailfuse\", or start it as that user");
	else if (!no_capabilities()) /* of systemd's, for the low ports that are bound now */
		log_warn("- privileges.capabilities error=%s", log_safe(strerror(errno)));
	return true;
}
