/*
 * The table of settings: one row a setting. The same row tells the parser what exists, converts
 * the value, gives the default, and documents it. Immutable; any thread.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
	OPTION_SECTION,  /* `section = ...` rows describe what may stand in it */
	OPTION_TEXT,     /* char * */
	OPTION_PATH,     /* char *, absolute */
	OPTION_LIST,     /* char **, NULL at the end */
	OPTION_FLAG,     /* bool */
	OPTION_NUMBER,   /* uint32_t */
	OPTION_SIZE,     /* uint64_t, bytes */
	OPTION_DURATION, /* int64_t, microseconds */
	OPTION_TIMES,    /* int64_t *, durations in microseconds, 0 at the end */
	OPTION_RATE,     /* uint32_t at offset, int64_t at offset2 */
	OPTION_CHOICE,   /* int: `min` and the place in `words` */
	OPTION_SET,      /* unsigned: bit N for the Nth of `words` */
	OPTION_ADDRESS   /* char * host at offset, uint16_t port at offset2 */
};

enum option_flags {
	OPTION_FIXED = 1,     /* a change needs a restart */
	OPTION_TITLE = 2,     /* section: needs a name of its own */
	OPTION_REQUIRED = 4,  /* has no default and must be set */
	OPTION_FROM_FILE = 8, /* the value may be file:PATH */
	OPTION_SECRET = 16,   /* such a file must not be readable by everybody; never printed */
	OPTION_NUMERIC = 32,  /* address: an IP address, no name; port 0 is allowed */
	OPTION_MAY_MISS = 64, /* list: NULL while it is not set, to tell that from empty */
	OPTION_PHRASE = 128,  /* section: its name may be several words */
	OPTION_ONCE = 256,    /* section: there is at most one */
	OPTION_WIDE = 512     /* number: uint64_t */
};

struct option {
	const char *section; /* "" = top level */
	const char *name;
	enum option_type type;
	unsigned flags;
	const char *def;          /* as it would be written; "" = none; TIMES: "1h, 4h" */
	size_t offset, offset2;   /* in the structure of the section */
	const char *const *words; /* CHOICE, SET; NULL at the end */
	const char *const *later; /* CHOICE: words of later versions; NULL at the end, or NULL */
	/* NUMBER; SIZE in bytes; DURATION, TIMES and RATE's period in microseconds. CHOICE: `min`
	 * is the value of the first word. */
	uint64_t min, max;
	const char *help; /* one line */
};

/* All rows; ends with a row whose name is NULL. */
const struct option *options_table(void);
/* NULL if there is no such setting in this section. */
const struct option *options_find(const char *section, const char *name);
/* The name nearest to a misspelt one, NULL if none is near; `section` may be any of the table. */
const char *options_suggest(const char *section, const char *name);
/* A section other than `section` that has a setting of this name, NULL if none. */
const char *options_elsewhere(const char *section, const char *name);
/* The nearest of `words` (NULL at the end), NULL if none is near. */
const char *options_nearest(const char *const *words, const char *name);

/* True if a setting of this type may be a list: name = {a, b}. */
bool options_is_list(const struct option *row);

#endif
