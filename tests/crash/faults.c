/*
 * Preloaded into a mailfused whose system calls are to fail: MAILFUSE_TEST_FAULTS names a file of
 * `struct faults`, which a test writes while the program runs (tests/crash/shim.py). A number says
 * how many calls still fail, -1 all. Reads, writes and syncs are those of files below
 * MAILFUSE_TEST_FAULTS_DIR only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

struct faults {
	int64_t no_space;     /* pwrite: ENOSPC */
	int64_t bad_write;    /* pwrite: EIO */
	int64_t bad_read;     /* pread: EIO */
	int64_t bad_sync;     /* fdatasync, fsync: EIO */
	int64_t slow_sync_ms; /* each takes so long */
	int64_t no_accept;    /* accept4: EMFILE */
	int64_t no_socket;    /* socket: EMFILE */
	int64_t no_memory;    /* malloc, calloc, realloc of `memory_least` bytes or more: NULL */
	int64_t memory_least;
	int64_t wall_jump_s; /* added to CLOCK_REALTIME */
	int64_t syncs;       /* out: how many were asked for */
	int64_t accepts;     /* out */
};

static struct faults *faults;

__attribute__((constructor)) static void
find_faults(void)
{
	faults = preload_map("MAILFUSE_TEST_FAULTS", sizeof(*faults));
}

static bool
hits(int64_t *left)
{
	int64_t n = __atomic_load_n(left, __ATOMIC_SEQ_CST);

	while (n > 0 && !__atomic_compare_exchange_n(left, &n, n - 1, false, __ATOMIC_SEQ_CST,
						     __ATOMIC_SEQ_CST))
		;
	return n != 0;
}

static bool
is_ours(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n > (ssize_t)preload_directory_len &&
	       strncmp(path, preload_directory, preload_directory_len) == 0;
}

int
preload_sync(int fd, const char *name)
{
	if (faults != NULL && is_ours(fd)) {
		struct timespec wait = {faults->slow_sync_ms / 1000,
					faults->slow_sync_ms % 1000 * 1000000};

		__atomic_add_fetch(&faults->syncs, 1, __ATOMIC_SEQ_CST);
		if (faults->slow_sync_ms > 0)
			nanosleep(&wait, NULL);
		if (hits(&faults->bad_sync)) {
			errno = EIO;
			return -1;
		}
	}
	return preload_next_sync(fd, name);
}

ssize_t
preload_write(int fd, const void *data, size_t size, off_t at)
{
	if (faults != NULL && (faults->no_space != 0 || faults->bad_write != 0) && is_ours(fd)) {
		bool full = hits(&faults->no_space);

		if (full || hits(&faults->bad_write)) {
			errno = full ? ENOSPC : EIO;
			return -1;
		}
	}
	return syscall(SYS_pwrite64, fd, data, size, at);
}

static ssize_t
read_at(int fd, void *data, size_t size, off_t at)
{
	if (faults != NULL && faults->bad_read != 0 && is_ours(fd) && hits(&faults->bad_read)) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, data, size, at);
}

ssize_t
pread64(int fd, void *data, size_t size, off64_t at)
{
	return read_at(fd, data, size, at);
}

ssize_t
pread(int fd, void *data, size_t size, off_t at)
{
	return read_at(fd, data, size, at);
}

int
accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
	if (faults != NULL) {
		__atomic_add_fetch(&faults->accepts, 1, __ATOMIC_SEQ_CST);
		if (hits(&faults->no_accept)) {
			errno = EMFILE;
			return -1;
		}
	}
	return (int)syscall(SYS_accept4, fd, address, len, flags);
}

int
socket(int domain, int type, int protocol)
{
	if (faults != NULL && hits(&faults->no_socket)) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}

int
clock_gettime(clockid_t which, struct timespec *out)
{
	int result = (int)syscall(SYS_clock_gettime, which, out);

	if (result == 0 && which == CLOCK_REALTIME && faults != NULL)
		out->tv_sec += faults->wall_jump_s;
	return result;
}

/* ---- memory: glibc's own allocator by its other names, since dlsym() itself allocates */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static bool
memory_is_out(size_t size)
{
	return faults != NULL && faults->no_memory != 0 && (int64_t)size >= faults->memory_least &&
	       hits(&faults->no_memory);
}

void *
malloc(size_t size)
{
	if (!memory_is_out(size))
		return __libc_malloc(size);
	errno = ENOMEM;
	return NULL;
}

void *
calloc(size_t n, size_t size)
{
	if (!memory_is_out(n * size))
		return __libc_calloc(n, size);
	errno = ENOMEM;
	return NULL;
}

void *
realloc(void *old, size_t size)
{
	if (!memory_is_out(size))
		return __libc_realloc(old, size);
	errno = ENOMEM;
	return NULL;
}
