/*
 * The start of faults.c and power.c, and the calls of libc that both stand before. Any thread of
 * the gate; the mapping lives as long as the process.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

char preload_directory[PATH_MAX];
size_t preload_directory_len;

void *
preload_map(const char *name, size_t size)
{
	const char *path = getenv(name), *dir;
	char variable[64];
	void *at;
	int fd;

	snprintf(variable, sizeof(variable), "%s_DIR", name);
	dir = getenv(variable);
	/* The name of a file in it must fit behind it. */
	if (path == NULL || dir == NULL || strlen(dir) >= sizeof(preload_directory) - NAME_MAX)
		return NULL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return NULL;
	preload_directory_len = strlen(dir);
	memcpy(preload_directory, dir, preload_directory_len + 1);
	return at;
}

int
preload_next_sync(int fd, const char *name)
{
	return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int
fdatasync(int fd)
{
	return preload_sync(fd, "fdatasync");
}

int
fsync(int fd)
{
	return preload_sync(fd, "fsync");
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	return preload_write(fd, data, size, at);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t at)
{
	return preload_write(fd, data, size, at);
}
