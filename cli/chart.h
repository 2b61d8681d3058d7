/*
 * A small column chart of counts over time, for `mailfuse show`.
 */
#ifndef CLI_CHART_H
#define CLI_CHART_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct chart_point {
	int64_t at; /* seconds since 1970 */
	int64_t count;
};

/* What is drawn into it. Zero-initialised is nothing. */
struct chart_marks {
	double limit;     /* as many a second are let through; 0: there is none */
	int64_t trip_at;  /* seconds since 1970; 0: it never tripped */
	const char *trip; /* harmless text of that moment */
};

/*
 * Points come in order, with steps that had none left out; neighbours are added up until the chart
 * fits in `columns`. Block characters where stdout can show them, else "#". Prints nothing
 * without points. The limit is a dashed line where it is not far above all, the trip an arrow
 * below. Returns the seconds that one column stands for.
 */
int64_t chart_print(FILE *out, const struct chart_point *points, size_t count, int64_t step,
		    size_t columns, const char *indent, const struct chart_marks *marks);

#endif
