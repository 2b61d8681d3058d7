/*
 * Metrics as text, the exposition format 0.0.4 of Prometheus: families one after the other, each
 * with its HELP and TYPE and then its samples. Pure but for the histograms it reads; whoever asks
 * frees `out`. Any thread.
 */
#ifndef CONTROL_EXPOSITION_H
#define CONTROL_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/histogram.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
	struct buf out;
	const char *name; /* of the family that is being written */
};

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

/* A new family; `name` must live until its last sample. */
void exposition_family(struct exposition *x, const char *name, enum exposition_type type,
		       const char *help);
/* One sample of it. What follows are pairs of a label's name and value, then NULL; a value may be
 * any bytes. */
void exposition_count(struct exposition *x, int64_t value, ...) __attribute__((sentinel));
/* The same of a time in microseconds, told in seconds. */
void exposition_seconds(struct exposition *x, int64_t microseconds, ...) __attribute__((sentinel));
/* Family and samples; `seconds`: it holds microseconds. */
void exposition_histogram(struct exposition *x, const char *name, const char *help,
			  enum histogram which, bool seconds);

#endif
