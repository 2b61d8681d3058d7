/*
 * The command line: one parser over const tables. `--name value`, `--name=value`, `-x`, and `--`,
 * after which everything is a word. Options are never abbreviated: a gate must not guess.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,     /* anything but nothing */
	OPTION_ANY,      /* anything, also "" */
	OPTION_LIST,     /* text, may be given again */
	OPTION_NUMBER,   /* 1 to 4,000,000,000 */
	OPTION_PERCENT,  /* more than 0, up to 100; "%" may follow */
	OPTION_SHARE,    /* the same, or 0 */
	OPTION_RATE,     /* 100/1m */
	OPTION_DURATION, /* 1s to 30d */
	OPTION_RINGS     /* 10,100,all */
};

/* As many as the store takes. */
enum { OPTIONS_RINGS_MAX = 20 };

enum option_flags {
	OPTION_LATER = 1 /* known, and not available in this version */
};

/* One row of a table; a row without a name ends it. */
struct option {
	const char *name; /* without the dashes */
	char letter;      /* -x; 0 = none */
	enum option_kind kind;
	unsigned flags;
	const char *value; /* what stands for the value in the help; NULL for a flag */
	const char *help;
};

struct option_value {
	const struct option *option;
	const char *text;
};

/* What was found. Texts are those of argv. Zero-initialised is empty. */
struct options {
	struct option_value *values;
	size_t value_count;
	const char **words;
	size_t word_count;
};

/*
 * Reads arguments from argv[*at] on; every option is looked up in `global`, then in `own` (may be
 * NULL). With `stop` it ends before the first word, *at naming it. False and one sentence in
 * `error` at the first mistake.
 */
bool options_parse(struct options *o, int argc, char **argv, int *at, const struct option *global,
		   const struct option *own, bool stop, struct buf *error);
void options_free(struct options *o);

bool options_has(const struct options *o, const char *name);
/* NULL if it was not given. */
const char *options_text(const struct options *o, const char *name);
/* 0 if it was not given. */
unsigned long options_number(const struct options *o, const char *name);
double options_percent(const struct options *o, const char *name);
/* The sizes of a list of rings, 0 for "all"; returns how many, 0 if it was not given. */
size_t options_rings(const struct options *o, const char *name, uint64_t sizes[OPTIONS_RINGS_MAX]);
/* The i-th text of a list; NULL behind the last. */
const char *options_list(const struct options *o, const char *name, size_t i);

/*
 * How far two words are apart: letters changed, left out, added or exchanged with their neighbour.
 * Words of more than 63 bytes are as far as can be.
 */
size_t options_distance(const char *a, const char *b);
/* True if `name` may be what `typed` was meant to be; keeps the best of several calls in *best. */
bool options_is_nearer(const char *typed, const char *name, size_t *best);

#endif
