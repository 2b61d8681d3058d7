/*
 * Preloaded into a mailfused that is to die at a given write of its store: MAILFUSE_TEST_COUNTDOWN
 * names a file of two numbers, the steps that are left (0 = it lives) and what a step is: 0 a sync
 * (fdatasync: a commit, before it is on the disk), 1 a write (pwrite: a page into the log). A test
 * writes the numbers while the program runs. What dies is the whole process, at once, as by kill
 * -9.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SYNC, WRITE };
struct countdown {
	int64_t left, kind;
};
static struct countdown *countdown;

__attribute__((constructor)) static void
find_countdown(void)
{
	const char *path = getenv("MAILFUSE_TEST_COUNTDOWN");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*countdown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		countdown = at;
}

static void
step(int64_t kind)
{
	if (countdown == NULL || countdown->kind != kind ||
	    __atomic_load_n(&countdown->left, __ATOMIC_SEQ_CST) <= 0)
		return;
	if (__atomic_sub_fetch(&countdown->left, 1, __ATOMIC_SEQ_CST) == 0)
		kill(getpid(), SIGKILL);
}

int
fdatasync(int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	step(SYNC);
	return next(fd);
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) =
	    (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");

	step(WRITE);
	return next(fd, data, size, at);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t at)
{
	ssize_t (*next)(int, const void *, size_t, off_t) =
	    (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");

	step(WRITE);
	return next(fd, data, size, at);
}
