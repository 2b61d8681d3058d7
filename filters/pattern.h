/*
 * One pattern over addresses or text, as people write them: `user@host`, `@domain`, `@.domain`
 * (subdomains too), globs, `/regex/` (with flags). Immutable once made: any thread may match.
 */
#ifndef FILTERS_PATTERN_H
#define FILTERS_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/address.h"

struct pattern;

/* For addresses. On a bad pattern returns NULL and a malloc'd reason in *error. */
struct pattern *pattern_for_address(const char *text, char **error);
/*
 * For text, of one line or many: a word without `*` or `?` matches where it occurs, in either case;
 * a glob is the whole text, line ends included, ASCII letters in either case, a `?` is one byte;
 * `/regex/` matches anywhere. As in Perl, `^` and `$` are the start and the end of the whole text,
 * with the flag m of every line too; `.` is no newline, with s it is one as well; i takes either
 * case. \w, \d, \s and \b know all scripts.
 */
struct pattern *pattern_for_text(const char *text, char **error);
void pattern_free(struct pattern *p);

/*
 * Domains compare case-folded as A-labels; local parts byte by byte, but ASCII letters in either
 * case: what only looks like ASCII or folds to it (U+212A, U+017F) never matches it, in a regex
 * neither, and its \w, \d, \s are ASCII. A regex that passes its match limit does not match (for
 * an allow list: fails closed).
 */
bool pattern_match_address(const struct pattern *p, const struct address *address);
/* The same for text: a regex that gives up does not match. */
bool pattern_match_text(const struct pattern *p, const char *text);

/*
 * For who must know that nothing was found from that nobody can say. A regex gives up after
 * PATTERN_STEPS and PATTERN_STEPS_BYTE for each byte of the text, or when it needs more memory than
 * 16 MiB: so the work is linear in the text, whatever the pattern. A step is an item of the
 * expression tried, a byte passed over, or one that a back reference may be compared with; they are
 * added to *steps. An expression for text repeats nothing more than 1000 times by number.
 */
enum pattern_result { PATTERN_DIFFERS, PATTERN_MATCHES, PATTERN_GAVE_UP };
enum { PATTERN_STEPS = 1000000, PATTERN_STEPS_BYTE = 64 };
enum pattern_result pattern_search_text(const struct pattern *p, const char *text, uint64_t *steps);

/* How exact it is, for "most specific wins": literal > domain > subdomains > glob > regex > "*". */
int pattern_rank(const struct pattern *p);

/* PCRE2's, for `mailfused -V`. */
const char *pattern_library_version(void);

#endif
