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

#endif
