/*
 * Answers of mailfused, turned into rows and rates. Called by cli/top.c and cli/top_draw.c; one
 * thread. Answers are not trusted: any field may be missing or of another type.
 */
#include "cli/top_data.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/field.h"
#include "cli/screen.h"

/* Rates are over one to two of these. */
#define WINDOW (5 * CLOCK_SECOND)

enum { RECENT_SECONDS = 10 };

/* ---- numbers of a moment */

static const char *
number_key(enum top_count what, const char *name, struct buf *key)
{
	static const char letters[] = {[TOP_ACCEPTED] = 'a', [TOP_SENT] = 's', [TOP_JOINED] = 'j'};

	buf_clear(key);
	buf_add_char(key, letters[what]);
	/* The whole gate's has no name; an environment's may be empty. */
	if (name != NULL)
		buf_printf(key, " %s", name);
	return buf_text(key);
}

static void
number_add(json_t *numbers, enum top_count what, const char *name, int64_t n, struct buf *key)
{
	const char *text = number_key(what, name, key);
	int64_t sum = json_integer_value(json_object_get(numbers, text));

	if (!__builtin_add_overflow(sum, n, &sum))
		json_object_set_new(numbers, text, json_integer(sum));
}

static json_t *
read_numbers(const struct top_answers *a)
{
	const json_t *metrics = json_object_get(a->status, "metrics");
	json_t *numbers = json_object(), *row;
	struct buf key = {0};
	size_t i;

	number_add(numbers, TOP_ACCEPTED, NULL, field_count(metrics, "recipients_accepted"), &key);
	number_add(numbers, TOP_SENT, NULL, field_count(metrics, "recipients_sent"), &key);
	json_array_foreach(json_object_get(a->status, "counts"), i, row)
	{
		const char *environment = field_text(row, "environment");

		number_add(numbers, TOP_ACCEPTED, environment, field_count(row, "count"), &key);
		if (strcmp(field_text(row, "state"), "sent") == 0)
			number_add(numbers, TOP_SENT, environment, field_count(row, "count"), &key);
	}
	json_array_foreach(a->batches, i, row) number_add(
	    numbers, TOP_JOINED, field_text(row, "id"), field_count(row, "recipients"), &key);
	buf_free(&key);
	return numbers;
}

static void
add_row(json_t *rows, const char *name, const char *state, json_t *value)
{
	json_t *row = json_object_get(rows, name);

	if (row == NULL) {
		row = json_object();
		json_object_set_new(rows, name, row);
	}
	json_object_set(row, state, value);
}

/* Also of environments that the configuration has no more. Whether it is production stands under
 * "". */
static json_t *
read_rows(const struct top_answers *a)
{
	json_t *rows = json_object(), *item;
	size_t i;

	json_array_foreach(json_object_get(a->status, "environments"), i, item)
	    add_row(rows, field_text(item, "name"), "", json_object_get(item, "production"));
	json_array_foreach(json_object_get(a->status, "counts"), i, item)
	    add_row(rows, field_text(item, "environment"), field_text(item, "state"),
		    json_object_get(item, "count"));
	return rows;
}

static void
past_copy(struct top_past *to, const struct top_past *from)
{
	json_decref(to->numbers);
	*to = *from;
	json_incref(to->numbers);
}

static void
answers_free(struct top_answers *a)
{
	json_decref(a->status);
	json_decref(a->batches);
	json_decref(a->queue);
	json_decref(a->environments);
	*a = (struct top_answers){0};
}

/* After a start its counts begin anew. */
static bool
is_same_run(const json_t *a, const json_t *b)
{
	return field_count(a, "pid") == field_count(b, "pid") &&
	       strcmp(field_text(a, "started_at"), field_text(b, "started_at")) == 0;
}

void
top_data_take(struct top_data *d, struct top_answers *answers, int64_t now)
{
	struct top_past new = {.at = now, .numbers = read_numbers(answers)};
	bool first = d->base.numbers == NULL || !is_same_run(d->answers.status, answers->status);

	past_copy(&d->now, &new);
	json_decref(new.numbers);
	if (first) {
		past_copy(&d->middle, &d->now);
		past_copy(&d->base, &d->now);
	} else if (now - d->middle.at >= WINDOW) {
		past_copy(&d->base, &d->middle);
		past_copy(&d->middle, &d->now);
	}
	answers_free(&d->answers);
	json_decref(d->rows);
	d->rows = read_rows(answers);
	d->answers = *answers;
	*answers = (struct top_answers){0};
}

void
top_data_free(struct top_data *d)
{
	answers_free(&d->answers);
	json_decref(d->rows);
	json_decref(d->now.numbers);
	json_decref(d->middle.numbers);
	json_decref(d->base.numbers);
	*d = (struct top_data){0};
}

double
top_data_rate(const struct top_data *d, enum top_count what, const char *name)
{
	struct buf key = {0};
	const char *text = number_key(what, name, &key);
	const json_t *then = json_object_get(d->base.numbers, text);
	const json_t *now = json_object_get(d->now.numbers, text);
	double rate = -1;

	/* What is new came in since; a batch that was not asked for before may be old. */
	if (d->now.at > d->base.at && (what != TOP_JOINED || (now != NULL && then != NULL))) {
		rate = ((double)json_integer_value(now) - (double)json_integer_value(then)) *
		       CLOCK_SECOND / (double)(d->now.at - d->base.at);
		/* What was kept long enough is forgotten, which is not traffic. */
		rate = rate < 0 ? 0 : rate;
	}
	buf_free(&key);
	return rate;
}

/* ---- environments */

static json_t *
index_by(const json_t *rows, const char *field)
{
	json_t *index = json_object(), *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	    json_object_set(index, field_text(row, field), row);
	return index;
}

static bool
is_busy(const struct top_environment *e)
{
	return e->accepted > 0 || e->sent > 0 || e->held > 0 || e->queued > 0 || e->waiting > 0;
}

/* Steady from one second to the next. */
static int
compare_environments(const void *a, const void *b)
{
	const struct top_environment *x = a, *y = b;

	if (is_busy(x) != is_busy(y))
		return is_busy(x) ? -1 : 1;
	if (x->production != y->production)
		return x->production ? -1 : 1;
	return strcmp(x->name, y->name);
}

struct top_environment *
top_data_environments(const struct top_data *d, size_t *count)
{
	const struct top_answers *a = &d->answers;
	json_t *row, *queue = index_by(json_object_get(a->queue, "environments"), "environment");
	json_t *more = index_by(a->environments, "name");
	struct top_environment *list;
	const char *name;

	list = mem_zalloc((json_object_size(d->rows) + 1) * sizeof(*list));
	*count = 0;
	json_object_foreach(d->rows, name, row)
	{
		struct top_environment *e = &list[(*count)++];
		const char *oldest = field_text(json_object_get(queue, name), "oldest_at");

		*e = (struct top_environment){.name = name,
					      .production = field_is_true(row, ""),
					      .policy =
						  field_text(json_object_get(more, name), "policy"),
					      .accepted = top_data_rate(d, TOP_ACCEPTED, name),
					      .sent = top_data_rate(d, TOP_SENT, name),
					      .held = field_count(row, "held"),
					      .queued = field_count(row, "queued"),
					      .waiting = field_count(row, "waiting"),
					      .failed = field_count(row, "failed"),
					      .oldest_at = screen_time_parse(oldest)};
	}
	json_decref(queue);
	json_decref(more);
	qsort(list, *count, sizeof(*list), compare_environments);
	return list;
}

/* ---- batches */

static bool
is_planned(const json_t *batch)
{
	const char *state = field_text(json_object_get(batch, "plan"), "state");

	return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 ||
	       strcmp(state, "asked") == 0;
}

/* Where two looks do not tell yet, its last mail does. */
static bool
is_filling(const json_t *batch, double joined, int64_t now)
{
	int64_t last = screen_time_parse(field_text(batch, "last_at"));

	if (joined >= 0)
		return joined > 0;
	return field_is_true(batch, "collecting") && last >= 0 && now - last <= RECENT_SECONDS;
}

static int
compare_batches(const void *a, const void *b)
{
	const struct top_batch *x = a, *y = b;
	const char *p = field_text(x->batch, "last_at"), *q = field_text(y->batch, "last_at");

	if (x->filling != y->filling)
		return x->filling ? -1 : 1;
	if (strcmp(p, q) != 0)
		return -strcmp(p, q);
	return x->place < y->place ? -1 : 1;
}

struct top_batch *
top_data_batches(const struct top_data *d, bool planned, size_t *count)
{
	const json_t *batches = d->answers.batches;
	struct top_batch *list = mem_zalloc((json_array_size(batches) + 1) * sizeof(*list));
	int64_t now = (int64_t)time(NULL);
	json_t *batch;
	size_t i;

	*count = 0;
	json_array_foreach((json_t *)(uintptr_t)batches, i, batch)
	{
		struct top_batch *b = &list[*count];

		if (is_planned(batch) != planned)
			continue;
		b->batch = batch;
		b->place = i;
		b->joined = top_data_rate(d, TOP_JOINED, field_text(batch, "id"));
		b->filling = is_filling(batch, b->joined, now);
		++*count;
	}
	qsort(list, *count, sizeof(*list), compare_batches);
	return list;
}
