/*
 * One pattern over addresses or text, as people write them: `user@host`, `@domain`, `@.domain`
 * (subdomains too), globs, `/regex/` (with flags `i`). Immutable once made: any thread may match.
 */
#ifndef FILTERS_PATTERN_H
#define FILTERS_PATTERN_H

#include <stdbool.h>

#include "mail/address.h"

struct pattern;

/* For addresses. On a bad pattern returns NULL and a malloc'd reason in *error. */
struct pattern *pattern_for_address(const char *text, char **error);
/* For plain text such as subjects: `/regex/`, else a glob; a word without `*` or `?` matches if it
 * occurs. */
struct pattern *pattern_for_text(const char *text, char **error);
void pattern_free(struct pattern *p);

/*
 * Domains compare case-folded as A-labels; local parts byte by byte, but ASCII letters in either
 * case: what only looks like ASCII or folds to it (U+212A, U+017F) never matches it, in a regex
 * neither, and its \w, \d, \s are ASCII. A regex that passes its match limit does not match (for
 * an allow list: fails closed).
 */
bool pattern_match_address(const struct pattern *p, const struct address *address);
bool pattern_match_text(const struct pattern *p, const char *text);
/* How exact it is, for "most specific wins": literal > domain > subdomains > glob > regex > "*". */
int pattern_rank(const struct pattern *p);

/* PCRE2's, for `mailfused -V`. */
const char *pattern_library_version(void);

#endif
