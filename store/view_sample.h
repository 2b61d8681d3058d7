/*
 * The rows of a batch that its sums are made of: all of a small one, of a big one a sample that is
 * taken where its mail is. The view keeps the last, so that all that one answer sums up is read
 * once. One thread each.
 */
#ifndef STORE_VIEW_SAMPLE_H
#define STORE_VIEW_SAMPLE_H

#include "store/view.h"

struct sample_row {
	const char *recipient, *subject;
	int64_t accepted_at;
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
	int64_t batch, taken_at; /* taken_at: clock_mono(); 0 = it could not be taken */
	/* Of the batch then; opened_at is INT64_MIN where there is no such batch. */
	int64_t opened_at, last_at;
	uint64_t recipients, purged;
	struct sample_row *rows; /* all, in no order: of no more than STORE_EXACT_MAX */
	size_t row_count;
	struct sample_place *places; /* of more */
	size_t place_count;
	struct arena arena;
};

/* Inside view_begin(). *out is the view's, and good until the next call; it has neither rows nor
 * places where the batch has no rows. */
enum store_result view_sample(struct store_view *v, int64_t batch, const struct sample **out);
void view_sample_free(struct sample *s);

#endif
