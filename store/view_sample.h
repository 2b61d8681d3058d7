/*
 * A sample of a big batch, taken where its mail is: the view keeps the last one, so that all that
 * one answer sums up is read once. One thread each.
 */
#ifndef STORE_VIEW_SAMPLE_H
#define STORE_VIEW_SAMPLE_H

#include "store/view.h"

struct sample_row {
	const char *recipient, *subject;
};

/* What arrived from one time up to the other, with some of the first rows of it. */
struct sample_place {
	int64_t from, until; /* wall clock */
	double weight;       /* about so many arrived in it; all together are all */
	struct sample_row *rows;
	uint32_t count;
	int64_t last_at; /* of the last of them */
};

struct sample {
	int64_t batch, taken_at; /* taken_at: clock_mono() */
	uint64_t recipients;     /* of the batch then */
	struct sample_place *places;
	size_t place_count;
	struct arena arena;
};

/* Inside view_begin(). *out is the view's, and good until the next call; it has no places where the
 * batch has no rows. */
enum store_result view_sample(struct store_view *v, int64_t batch, const struct sample **out);
void view_sample_free(struct sample *s);

#endif
