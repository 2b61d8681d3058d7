/*
 * Reads a trace, line by line: see simulate.h for its columns. One thread.
 */
#ifndef SIMULATE_TRACE_H
#define SIMULATE_TRACE_H

#include <stdio.h>

#include "simulate/simulate.h"

struct trace;

/* Reads the line of names. NULL and "line 1: what is wrong; what to write" in `error`. Does not
 * close the file. */
struct trace *trace_open(FILE *file, struct buf *error);
/* The next row: 1, 0 at the end, -1 with "line N: what is wrong; what to write" in `error`. */
int trace_read(struct trace *t, struct trace_row *row, struct buf *error);
/* The line the last row began on, from 1. */
uint64_t trace_line(const struct trace *t);
void trace_close(struct trace *t);

#endif
