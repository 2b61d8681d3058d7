/*
 * What is asked before held mail is decided on, and what is said afterwards.
 */
#ifndef CLI_DECIDE_TEXT_H
#define CLI_DECIDE_TEXT_H

#include "cli/command.h"

enum decision_kind { DECISION_RELEASE, DECISION_DISCARD, DECISION_RESTORE, DECISION_PURGE };

/* One for each verb. */
struct decision {
	enum decision_kind kind;
	const char *path;  /* of the API */
	const char *doing; /* "Releasing 10 recipients of B17." */
	const char *done, *able;
};

/* "B17", "B17 and B18", "5 ids". */
void decide_text_ids(const json_t *ids, struct buf *out);
/*
 * Each from the request, the answer to its dry run (a question) or to itself, and the ids in
 * words.
 */
void decide_text_question(const struct command *c, const struct decision *d, const json_t *body,
			  const json_t *dry, const char *what, struct buf *out);
void decide_text_doing(const struct decision *d, const json_t *dry, const char *what,
		       struct buf *out);
/* On stdout. */
void decide_print_dry_run(const struct decision *d, const json_t *body, const json_t *dry,
			  const char *what);
void decide_print_done(const struct decision *d, const json_t *body, const json_t *answer,
		       const char *what);
/* On stdout: what a release of these ids would take the place of, paused or asked for, if anything.
 */
void decide_print_replaced(const struct command *c, const json_t *ids);
/* "staging's upstream": where mail of the batch goes, if `id` is one that can be read. */
void decide_text_upstream(const struct command *c, const char *id, struct buf *out);

#endif
