/*
 * What the view*.c files share: a view's connection, and its read transaction. One thread each.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/backend.h"

struct sample;

struct store_view {
	const struct backend *b;
	struct db *db;
	int depth;             /* a callback may ask for more */
	struct sample *sample; /* see view_sample.h; NULL until one is taken */
};

/* All that one call reads is of one moment. view_end() hands `r` on. */
enum store_result view_begin(struct store_view *v);
enum store_result view_end(struct store_view *v, enum store_result r);

/*
 * A list of one environment in all states: a merge of the lists of each state, which indexes
 * answer, where one list of all would look at the mail of every environment. `q` has a limit.
 */
enum store_result view_merge(struct store_view *v, const struct delivery_query *q,
			     delivery_row_fn *row, void *context);

#endif
