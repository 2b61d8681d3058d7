/*
 * What the gate tells message_apply() to do with the header.
 */
#ifndef FILTERS_TAG_H
#define FILTERS_TAG_H

#include "filters/policy.h"
#include "mail/message.h"

/*
 * Fills m->edit after the recipients filter, before anything else has touched the verdicts. e NULL
 * = unknown. The texts are copied; the map reads `e`, so the caller keeps its policy until
 * message_apply() is done.
 */
void tag_fill(const struct policy *p, const struct policy_environment *e, struct message *m);

#endif
