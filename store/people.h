/*
 * How many different people a batch is for, kept with the batch while it fills: a list of batches
 * reads no delivery. Called by work_batch.c; writer thread only.
 */
#ifndef STORE_PEOPLE_H
#define STORE_PEOPLE_H

#include "store/work.h"

/* Somebody comes into the batch, once more or for the first time. Changes the row of the batch, and
 * the table of people; the caller writes the row. */
enum store_result people_enter(struct work *w, struct batch_row *b, const char *recipient);

#endif
