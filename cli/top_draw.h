/*
 * The screen of `mailfuse top` as lines of text.
 */
#ifndef CLI_TOP_DRAW_H
#define CLI_TOP_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cli/top_data.h"

enum top_section {
	TOP_ALL, /* some of each */
	TOP_ENVIRONMENTS,
	TOP_RELEASES,
	TOP_BATCHES,
	TOP_UPSTREAMS,
	TOP_SECTIONS,
	TOP_HELP = TOP_SECTIONS /* what the keys do */
};

/* How it is looked at. */
struct top_view {
	size_t rows, columns; /* 0: as many as it takes, for what is no terminal */
	enum top_section section;
	size_t offset;       /* rows of that section that are scrolled away */
	int64_t now;         /* seconds since 1970 */
	int64_t answered_at; /* when the answers came; 0: there were none yet */
	bool stopped;        /* nothing is asked until somebody says so */
	const char *trouble; /* why there are no newer answers; NULL: there are */
};

/*
 * Lines of harmless text, each ended by "\n", none wider than `columns`, at most `rows`. Returns
 * how many rows the section has in all, for the bounds of `offset`.
 */
size_t top_draw(const struct top_data *d, const struct top_view *v, struct buf *out);

#endif
