/*
 * The second half of a drill: the batch.
 */
#ifndef CLI_DRILL_BATCH_H
#define CLI_DRILL_BATCH_H

#include "cli/drill_steps.h"

/* All steps that need d->batch: alert, first ring, discard, restore, purge, nowhere else. What
 * failed does not keep the next from being shown. */
void drill_go_on(struct drill *d);

#endif
