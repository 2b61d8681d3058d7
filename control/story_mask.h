/*
 * What a story does not tell: whom mail was for, what made a subject personal, who decided. Pure;
 * any thread; results are for free().
 */
#ifndef CONTROL_STORY_MASK_H
#define CONTROL_STORY_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* "jane.doe@example.com" -> "j***@example.com"; "" stays "". */
char *story_mask_address(const char *address);
/* Every address within a text, likewise; the rest stays. */
char *story_mask_text(const char *text);

/* Words that are part of somebody's address: in a subject they are names. Zero-initialised. */
enum { STORY_NAMES_MAX = 2000 };
struct story_names {
	char **words;
	size_t count;
};

void story_names_add(struct story_names *n, const char *address);
void story_names_free(struct story_names *n);

/*
 * The normal form in which subjects are compared, in which numbers and tokens are "#"; addresses
 * are masked, and so are words of `names` (may be NULL).
 */
char *story_mask_subject(const char *subject, const struct story_names *names);

/* Who took part, in the order of their appearance. Zero-initialised; named = as they are. */
enum { STORY_PEOPLE_MAX = 20 };
struct story_people {
	bool named;
	char *seen[STORY_PEOPLE_MAX];
	size_t count;
};

/* "an operator", "a second person", ...; "mailfuse" for the gate itself, "" for nobody. Good like
 * `who`, or static. The same person is the same text up to "(" of "uid:1000(name)". */
const char *story_person(struct story_people *p, const char *who);
void story_people_free(struct story_people *p);

#endif
