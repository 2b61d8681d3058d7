/*
 * GET /v1/batches/B17/story: what happened, for the review of an incident. Blameless: people are
 * told apart, and named only with ?names=1; what is personal in the mail is masked always.
 */
#ifndef CONTROL_STORY_H
#define CONTROL_STORY_H

struct request;

void story_get(struct request *r);

#endif
