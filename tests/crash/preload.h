/*
 * What the preloaded libraries share: the file that steers one, the directory that it is about, and
 * the calls that both take the place of. preload.c is compiled into each (shim.py).
 */
#ifndef TESTS_CRASH_PRELOAD_H
#define TESTS_CRASH_PRELOAD_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Maps `size` bytes of the file that the variable NAME names, and takes the directory from
 * NAME_DIR. NULL where one is not set or cannot be used: then the library changes nothing.
 */
void *preload_map(const char *name, size_t size);
extern char preload_directory[];
extern size_t preload_directory_len;

/* What fsync and fdatasync, by `name`, and pwrite do in the library; it defines them. */
int preload_sync(int fd, const char *name);
ssize_t preload_write(int fd, const void *data, size_t size, off_t at);
/* The call itself. */
int preload_next_sync(int fd, const char *name);

#endif
