/*
 * Memory that is always there: these never return NULL, they end the process through fatal().
 * The gate bounds what it holds (see relay/intake.c), so running out here is a broken machine,
 * and what was acknowledged is on disk. Any thread. Free with free().
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_resize(void *old, size_t size);
/* n * size, checked for overflow. */
void *mem_resize_array(void *old, size_t n, size_t size);
/*
 * Gives the system back what is free, after something large and rare: glibc keeps it for the thread
 * that had it, which may have ended. Holds up each thread's allocations for moments.
 */
void mem_trim(void);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
