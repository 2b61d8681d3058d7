/*
 * What a person decides on held mail. The answer comes after the commit. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_DECISIONS_H
#define CONTROL_DECISIONS_H

struct request;

/* POST /v1/release. */
void decisions_release(struct request *r);
/* POST /v1/discard. */
void decisions_discard(struct request *r);
/* POST /v1/restore. */
void decisions_restore(struct request *r);
/* POST /v1/purge: what is discarded, for good. */
void decisions_purge(struct request *r);

#endif
