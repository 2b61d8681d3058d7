/*
 * Preloaded into a mailfused whose power is to fail: of the files below MAILFUSE_TEST_POWER_DIR it
 * remembers what each sector held at its last sync, and what happened to the directory's entries
 * since that was synced. At the cut it puts back what a disk may have lost, as a random choice by
 * the seed, and ends the process at once: what is left is what the next start would find.
 *
 * MAILFUSE_TEST_POWER names a file of `struct control`, which the harness writes while the program
 * runs (tests/crash/shim.py). Syncs are not passed on: the page cache outlives the process. Files
 * that end with -shm or .lock are nothing that a power cut leaves. One lock is held over every call
 * that changes such a file, so that the cut is one moment for all threads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"

enum { SECTOR = 512, BUCKETS = 4096, FILES_MAX = 64, OPS_MAX = 256 };
enum { MODE_OFF, MODE_KILL, MODE_POWER };

struct control {
	int64_t left;  /* calls that change a file until the cut; 0: none is coming */
	int64_t mode;  /* MODE_KILL: the process dies and the disk forgets nothing */
	int64_t seed;  /* of the choice */
	int64_t liar;  /* syncs of the log do nothing: the harness must see mail lost */
	int64_t calls; /* out: so far */
	int64_t lost;  /* out: sectors that were put back */
};

/* What a sector held at the last sync. */
struct sector {
	struct sector *next;
	off_t at;
	uint64_t turn; /* when it was first written since */
	unsigned char old[SECTOR];
};

struct file {
	dev_t device;
	ino_t inode;
	off_t synced_size;
	bool used, is_log;
	struct sector *buckets[BUCKETS];
	size_t count;
};

enum op_kind { OP_CREATE, OP_UNLINK };

/* What happened to an entry of the directory since its last sync. */
struct op {
	enum op_kind kind;
	char path[PATH_MAX + 32];
	char kept[PATH_MAX + 32]; /* OP_UNLINK: another link to what it was */
};

static struct control *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files[FILES_MAX];
static struct op ops[OPS_MAX];
static size_t op_count;
static uint64_t turn, kept_count;

__attribute__((constructor)) static void
find_control(void)
{
	control = preload_map("MAILFUSE_TEST_POWER", sizeof(*control));
}

/* splitmix64, after Sebastiano Vigna. */
static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t
choose(uint64_t what)
{
	return mix((uint64_t)control->seed ^ mix(what));
}

/* ---- what was on the disk */

static bool
is_ours(const char *path)
{
	size_t n = strlen(path);

	return control != NULL && strncmp(path, preload_directory, preload_directory_len) == 0 &&
	       path[preload_directory_len] == '/' &&
	       strchr(path + preload_directory_len + 1, '/') == NULL &&
	       !(n > 4 && strcmp(path + n - 4, "-shm") == 0) &&
	       !(n > 5 && strcmp(path + n - 5, ".lock") == 0);
}

static struct file *
file_find(const struct stat *st)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (files[i] != NULL && files[i]->used && files[i]->device == st->st_dev &&
		    files[i]->inode == st->st_ino)
			return files[i];
	return NULL;
}

static struct file *
file_of(int fd, struct stat *st)
{
	return control != NULL && fstat(fd, st) == 0 && S_ISREG(st->st_mode) ? file_find(st) : NULL;
}

static void
file_forget(struct file *f)
{
	for (size_t i = 0; i < BUCKETS; i++)
		while (f->buckets[i] != NULL) {
			struct sector *s = f->buckets[i];

			f->buckets[i] = s->next;
			free(s);
		}
	f->count = 0;
}

static struct file *
file_add(const struct stat *st, const char *path)
{
	size_t i = 0, n = strlen(path);

	while (i < FILES_MAX && files[i] != NULL && files[i]->used)
		i++;
	if (i == FILES_MAX)
		abort();
	if (files[i] == NULL && (files[i] = calloc(1, sizeof(*files[i]))) == NULL)
		abort();
	files[i]->used = true;
	files[i]->is_log = n > 4 && strcmp(path + n - 4, "-wal") == 0;
	files[i]->device = st->st_dev;
	files[i]->inode = st->st_ino;
	files[i]->synced_size = st->st_size;
	return files[i];
}

/* `old` is what the file has at `at` now; zeroes beyond its end. */
static void
sector_keep(struct file *f, int fd, off_t at)
{
	size_t b = (size_t)(at / SECTOR) % BUCKETS;
	struct sector *s;

	for (s = f->buckets[b]; s != NULL; s = s->next)
		if (s->at == at)
			return;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	s->at = at;
	s->turn = turn;
	if (syscall(SYS_pread64, fd, s->old, (size_t)SECTOR, at) < 0 && errno != EBADF)
		abort();
	s->next = f->buckets[b];
	f->buckets[b] = s;
	f->count++;
}

static void
file_keep(struct file *f, int fd, off_t from, off_t to)
{
	turn++;
	for (off_t at = from - from % SECTOR; at < to; at += SECTOR)
		sector_keep(f, fd, at);
}

/* ---- the cut */

struct dice {
	uint64_t salt;
	unsigned keep;  /* of 256: that a sector written since the last sync is there */
	off_t unit;     /* a disk writes so many bytes whole */
	uint64_t until; /* and nothing that came after that */
};

static bool
is_kept(const struct dice *d, const struct sector *s)
{
	return s->turn < d->until && choose(d->salt ^ (uint64_t)(s->at / d->unit)) % 256 < d->keep;
}

/* A descriptor of our own: the program's may be closed, or open for reading only. */
static int
file_open(const struct file *f)
{
	struct stat st;
	char path[64];

	for (int fd = 3; fd < 4096; fd++) {
		if (fstat(fd, &st) != 0 || st.st_dev != f->device || st.st_ino != f->inode)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
	}
	return -1;
}

static void
file_cut(struct file *f, size_t number)
{
	static const unsigned keeps[] = {0, 256, 128, 230, 256, 256};
	uint64_t r = choose(1000 + number);
	struct dice dice = {.salt = r,
			    .keep = keeps[r % 6],
			    .unit = r / 6 % 2 == 0 ? SECTOR : 4096,
			    .until = r / 12 % 3 == 0 ? UINT64_MAX : turn - (r / 36 % 40)};
	int fd = f->count > 0 ? file_open(f) : -1;
	struct stat st;
	bool back;

	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	back = dice.keep == 0 || (st.st_size < f->synced_size && r / 1440 % 2 == 0);
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct sector *s = f->buckets[b]; s != NULL; s = s->next) {
			bool beyond = s->at >= st.st_size; /* it was cut off since */

			if (beyond ? !back : is_kept(&dice, s))
				continue;
			control->lost++;
			if (syscall(SYS_pwrite64, fd, s->old, (size_t)SECTOR, s->at) < 0)
				abort();
		}
	/* A sector is written whole; the file ends where one of its two sizes says. */
	if (syscall(SYS_ftruncate, fd, back ? f->synced_size : st.st_size) != 0)
		abort();
}

/* A directory's journal keeps its order: some of the last entries are as before. */
static void
directory_cut(void)
{
	size_t keep = op_count > 0 ? choose(1) % (op_count + 1) : 0;

	while (op_count > keep) {
		struct op *op = &ops[--op_count];

		if (op->kind == OP_CREATE)
			syscall(SYS_unlinkat, AT_FDCWD, op->path, 0);
		else
			syscall(SYS_renameat2, AT_FDCWD, op->kept, AT_FDCWD, op->path, 0);
	}
}

static void
cut(void)
{
	if (control->mode == MODE_POWER) {
		for (size_t i = 0; i < FILES_MAX; i++)
			if (files[i] != NULL && files[i]->used)
				file_cut(files[i], i);
		directory_cut();
	}
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Under the lock. True: this call is where it happens. */
static bool
step(void)
{
	control->calls++;
	if (__atomic_load_n(&control->left, __ATOMIC_SEQ_CST) <= 0)
		return false;
	return __atomic_sub_fetch(&control->left, 1, __ATOMIC_SEQ_CST) == 0;
}

/* ---- the calls */

int
preload_sync(int fd, const char *name)
{
	struct stat st, top;
	struct file *f;

	if (control == NULL || fstat(fd, &st) != 0)
		return preload_next_sync(fd, name);
	pthread_mutex_lock(&lock);
	f = file_find(&st);
	if (f != NULL && step())
		cut();
	if (f != NULL && !(f->is_log && control->liar)) {
		file_forget(f);
		f->synced_size = st.st_size;
	}
	if (S_ISDIR(st.st_mode) && stat(preload_directory, &top) == 0 && top.st_ino == st.st_ino) {
		while (op_count > 0)
			if (ops[--op_count].kind == OP_UNLINK)
				syscall(SYS_unlinkat, AT_FDCWD, ops[op_count].kept, 0);
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

ssize_t
preload_write(int fd, const void *data, size_t size, off_t at)
{
	struct stat st;
	struct file *f;
	ssize_t n;
	bool last;

	if (file_of(fd, &st) == NULL)
		return syscall(SYS_pwrite64, fd, data, size, at);
	pthread_mutex_lock(&lock);
	f = file_of(fd, &st);
	last = f != NULL && step();
	if (f != NULL)
		file_keep(f, fd, at, at + (off_t)size);
	n = syscall(SYS_pwrite64, fd, data, size, at);
	if (last)
		cut();
	pthread_mutex_unlock(&lock);
	return n;
}

static int
truncate_file(int fd, off_t size)
{
	struct stat st;
	struct file *f;
	int result;
	bool last;

	if (file_of(fd, &st) == NULL)
		return (int)syscall(SYS_ftruncate, fd, size);
	pthread_mutex_lock(&lock);
	f = file_of(fd, &st);
	last = f != NULL && step();
	if (f != NULL)
		file_keep(f, fd, size, st.st_size);
	result = (int)syscall(SYS_ftruncate, fd, size);
	if (last)
		cut();
	pthread_mutex_unlock(&lock);
	return result;
}

int
ftruncate64(int fd, off64_t size)
{
	return truncate_file(fd, size);
}

int
ftruncate(int fd, off_t size)
{
	return truncate_file(fd, size);
}

static void
op_add(enum op_kind kind, const char *path, const char *kept)
{
	struct op *op = &ops[op_count];

	if (op_count == OPS_MAX)
		abort();
	op->kind = kind;
	snprintf(op->path, sizeof(op->path), "%s", path);
	snprintf(op->kept, sizeof(op->kept), "%s", kept);
	op_count++;
}

static int
open_file(const char *path, int flags, mode_t mode)
{
	struct stat st;
	bool is_new;
	int fd;

	if (!is_ours(path))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	pthread_mutex_lock(&lock);
	is_new = stat(path, &st) != 0;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (is_new)
			op_add(OP_CREATE, path, "");
		if (file_find(&st) == NULL)
			file_add(&st, path);
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

static mode_t
mode_of(int flags, va_list list)
{
	return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE
		   ? (mode_t)va_arg(list, unsigned)
		   : 0;
}

int
open64(const char *path, int flags, ...)
{
	va_list list;
	mode_t mode;

	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	return open_file(path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	va_list list;
	mode_t mode;

	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	return open_file(path, flags, mode);
}

/* The file stays beside the directory until that is synced: the entry may come back. */
static int
unlink_file(const char *path)
{
	char kept[PATH_MAX + 32];
	struct file *f;
	struct stat st;
	int result;

	pthread_mutex_lock(&lock);
	if (step())
		cut();
	snprintf(kept, sizeof(kept), "%s.was%llu", preload_directory,
		 (unsigned long long)kept_count++);
	f = stat(path, &st) == 0 ? file_find(&st) : NULL;
	if (f != NULL && linkat(AT_FDCWD, path, AT_FDCWD, kept, 0) == 0)
		op_add(OP_UNLINK, path, kept);
	result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	pthread_mutex_unlock(&lock);
	return result;
}

int
unlink(const char *path)
{
	return is_ours(path) ? unlink_file(path) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
