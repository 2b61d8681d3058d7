/*
 * What an upstream said when it refused: a few different replies and how often each came, as text.
 * Writer's thread.
 */
#ifndef STORE_REFUSALS_H
#define STORE_REFUSALS_H

#include "store/work.h"

/*
 * One more `reply` in `text`, lines "COUNT REPLY" of at most STORE_REFUSALS_MAX different ones; a
 * further one is left out. Cut to a readable length; control characters become spaces. In the job's
 * arena.
 */
const char *refusals_add(struct work *w, const char *text, const char *reply);
/* The lines for people: `3 x "550 5.1.1 no such user", 1 x "..."`; "" if there are none. */
const char *refusals_describe(struct work *w, const char *text);

#endif
