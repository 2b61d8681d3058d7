/*
 * Lists of deliveries that stand in batches. All rows of one batch, stored state and era are one
 * run of the index delivery_batch, in the order of their ids, and all of a run are in one state as
 * the batch says: so a list is a merge of the runs that are in the states it wants, and reads no
 * row of another. A run's next keys are read a few at a time; its rows are read by their keys.
 *
 * It costs a few index seeks for each run, and a run for each state, and each era with rows in it,
 * of each batch that is opened. Without a batch in the query those are the ones that hold (or have
 * discarded) anything, of the environment if the query names one, and that may have a row between
 * the first and the last that are given: each says which messages it can have. What a query asks
 * for besides states, eras and ids is looked at row by row.
 */
#include "store/sqlite_runs.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
	KEYS_MAX = 64, /* read at a time; fewer where there are many runs: they wait in memory */
	KEYS_FEW = 8,
	MANY_RUNS = 64
};

struct holder {
	int64_t batch, era;
	struct sweep sweep;
	bool mixed;
	uint64_t first, last; /* messages that it may have */
};

struct run {
	const struct holder *of;
	enum store_state stored;
	int64_t era;
	struct store_delivery_id *keys, last; /* last: the one behind which it goes on */
	uint32_t room, count, at;
	bool ended, looked; /* looked: whose its first row is */
};

struct runs {
	struct db *db;
	const struct delivery_query *q;
	struct holder *holders; /* in the order of what they may have */
	size_t holder_count, opened;
	struct run **heap; /* those with keys; on top the one with the next row */
	size_t count, room;
};

bool
sqlite_runs_fit(const struct delivery_query *q)
{
	if (q->message != 0 || q->id_from != 0 || q->stream != 0 || q->order_due ||
	    q->notices == 1U << STORE_NOTICE_PENDING)
		return false;
	return q->batch != 0 || q->states == 1U << STORE_HELD || q->states == 1U << STORE_DISCARDED;
}

/* ---- which runs ---- */

void
sqlite_sweep_read(sqlite3_stmt *s, int from, struct sweep *out)
{
	*out = (struct sweep){.gone = sqlite3_column_int64(s, from),
			      .before = sqlite3_column_int64(s, from + 1),
			      .at = sqlite3_column_int64(s, from + 2),
			      .state = (enum store_state)sqlite3_column_int(s, from + 3)};
}

static int
compare_oldest(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int
compare_newest(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	return (x->last < y->last) - (x->last > y->last);
}

static void
add_holder(struct runs *r, sqlite3_stmt *s)
{
	struct holder *to;

	if ((r->holder_count & (r->holder_count - 1)) == 0) /* a power of two: full */
		r->holders = mem_resize_array(
		    r->holders, r->holder_count > 0 ? r->holder_count * 2 : 1, sizeof(*to));
	to = &r->holders[r->holder_count];
	*to = (struct holder){.batch = sqlite3_column_int64(s, 0),
			      .mixed = sqlite3_column_int(s, 1) != 0,
			      .era = sqlite3_column_int64(s, 2),
			      .first = (uint64_t)sqlite3_column_int64(s, 3),
			      .last = (uint64_t)sqlite3_column_int64(s, 4)};
	sqlite_sweep_read(s, 5, &to->sweep);
	/* A batch that is asked for may have more than its row says, within the job that adds it.
	 */
	if (r->q->batch == 0 && r->q->after.id != 0 &&
	    (r->q->newest ? to->first > r->q->after.id : to->last < r->q->after.id))
		return;
	r->holder_count++;
}

static enum store_result
find_holders(struct runs *r)
{
#define HOLDER_COLUMNS "SELECT b.id, b.mixed, b.era, b.first, b.last," SWEEP_COLUMNS
	static const char one[] = HOLDER_COLUMNS " FROM batch b WHERE b.id = ?1";
/* Those of one environment and those that may have mail of it; 0 = all. */
#define MAY_HAVE                                                                                   \
	" AND (?1 = 0 OR b.mixed OR b.environment = ''"                                            \
	" OR b.environment = (SELECT name FROM environment WHERE id = ?1))"
	/* In the words of the partial indexes. */
	static const char held[] =
	    HOLDER_COLUMNS " FROM batch b INDEXED BY batch_held WHERE b.held > 0" MAY_HAVE;
	static const char discarded[] = HOLDER_COLUMNS " FROM batch b INDEXED BY batch_discarded"
						       " WHERE b.discarded > b.purged" MAY_HAVE;
	const char *text = r->q->batch != 0                   ? one
			   : r->q->states == 1U << STORE_HELD ? held
							      : discarded;
	enum store_result result;
	sqlite3_stmt *s;
	bool more = true;

	TRY(sql_start(r->db, SQL_KEY(text), text,
		      ARGS(INT(text == one ? r->q->batch : r->q->environment)), &s));
	while ((result = sql_step(r->db, s, &more)) == STORE_OK && more)
		add_holder(r, s);
	sql_end(r->db, s);
	if (r->holder_count > 1)
		qsort(r->holders, r->holder_count, sizeof(*r->holders),
		      r->q->newest ? compare_newest : compare_oldest);
	return result;
}

/* Whether a row of that run, which has a state and an era only, may be wanted. */
static bool
is_wanted(const struct runs *r, const struct holder *of, enum store_state stored, int64_t era)
{
	/* What the run does not say is taken as wanted. */
	const struct delivery_query q = {.states = r->q->states,
					 .era_from = r->q->era_from,
					 .era_before = r->q->era_before,
					 .changed_before = r->q->changed_before};
	struct delivery_row d = {.state = stored, .era = era, .changed_at = INT64_MIN};

	if (sweep_is_gone(&of->sweep, &d) != r->q->gone)
		return false;
	sweep_read(&of->sweep, &d);
	return sweep_matches(&q, &d);
}

/* ---- the next row ---- */

static bool
is_before(const struct runs *r, const struct run *x, const struct run *y)
{
	const struct store_delivery_id *a = &x->keys[x->at], *b = &y->keys[y->at];

	if (a->id != b->id)
		return (a->id < b->id) != r->q->newest;
	return a->number != b->number && (a->number < b->number) != r->q->newest;
}

static void
swap(struct runs *r, size_t a, size_t b)
{
	struct run *run = r->heap[a];

	r->heap[a] = r->heap[b];
	r->heap[b] = run;
}

static void
sift_up(struct runs *r, size_t i)
{
	for (; i > 0 && is_before(r, r->heap[i], r->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(r, i, (i - 1) / 2);
}

/* The one on top has gone on. */
static void
sift_down(struct runs *r)
{
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->count) {
		if (child + 1 < r->count && is_before(r, r->heap[child + 1], r->heap[child]))
			child++;
		if (!is_before(r, r->heap[child], r->heap[i]))
			return;
		swap(r, i, child);
		i = child;
	}
}

static void
free_run(struct run *run)
{
	free(run->keys);
	free(run);
}

static enum store_result
read_keys(struct runs *r, struct run *run)
{
	static const char oldest[] =
	    "SELECT message, number FROM delivery INDEXED BY delivery_batch"
	    " WHERE batch = ?1 AND state = ?2 AND era = ?3 AND (message, number) > (?4, ?5)"
	    " ORDER BY message, number LIMIT ?6";
	static const char newest[] =
	    "SELECT message, number FROM delivery INDEXED BY delivery_batch"
	    " WHERE batch = ?1 AND state = ?2 AND era = ?3 AND (message, number) < (?4, ?5)"
	    " ORDER BY message DESC, number DESC LIMIT ?6";
	const char *text = r->q->newest ? newest : oldest;
	enum store_result result;
	sqlite3_stmt *s;
	bool more = true;

	run->at = run->count = 0;
	TRY(sql_start(r->db, SQL_KEY(text), text,
		      ARGS(INT(run->of->batch), INT(run->stored), INT(run->era), INT(run->last.id),
			   INT(run->last.number), INT(run->room)),
		      &s));
	while ((result = sql_step(r->db, s, &more)) == STORE_OK && more)
		run->keys[run->count++] = (struct store_delivery_id){
		    (uint64_t)sqlite3_column_int64(s, 0), (uint32_t)sqlite3_column_int64(s, 1)};
	sql_end(r->db, s);
	if (run->count > 0)
		run->last = run->keys[run->count - 1];
	run->ended = run->count < run->room; /* these are the last */
	return result;
}

static uint32_t
choose_room(const struct runs *r)
{
	const uint32_t room = r->count > MANY_RUNS ? KEYS_FEW : KEYS_MAX;

	return r->q->limit > 0 && r->q->limit < room ? r->q->limit : room;
}

static enum store_result
add_run(struct runs *r, const struct holder *of, enum store_state stored, int64_t era)
{
	struct run *run = mem_alloc(sizeof(*run));
	enum store_result result;

	*run = (struct run){
	    .of = of, .stored = stored, .era = era, .last = r->q->after, .room = choose_room(r)};
	if (r->q->newest && r->q->after.id == 0)
		run->last = (struct store_delivery_id){INT64_MAX, UINT32_MAX};
	run->keys = mem_alloc(run->room * sizeof(*run->keys));
	result = read_keys(r, run);
	if (result != STORE_OK || run->count == 0) {
		free_run(run);
		return result;
	}
	if (r->count == r->room) {
		r->room = r->room > 0 ? r->room * 2 : 1;
		r->heap = mem_resize_array(r->heap, r->room, sizeof(struct run *));
	}
	r->heap[r->count] = run;
	sift_up(r, r->count++);
	return STORE_OK;
}

static enum store_result
open_eras(struct runs *r, const struct holder *of, enum store_state stored)
{
	static const char text[] = "SELECT min(era) FROM delivery INDEXED BY delivery_batch"
				   " WHERE batch = ?1 AND state = ?2 AND era > ?3";
	enum store_result result;
	int64_t era = -1;
	sqlite3_stmt *s;
	bool more = true;

	if (of->era == 0 && r->q->batch == 0) /* nothing was decided on all of it */
		return is_wanted(r, of, stored, 0) ? add_run(r, of, stored, 0) : STORE_OK;
	for (;;) {
		TRY(sql_start(r->db, SQL_KEY(text), text,
			      ARGS(INT(of->batch), INT(stored), INT(era)), &s));
		result = sql_step(r->db, s, &more);
		more = result == STORE_OK && more && sqlite3_column_type(s, 0) != SQLITE_NULL;
		if (more)
			era = sqlite3_column_int64(s, 0);
		sql_end(r->db, s);
		if (!more)
			return result;
		if (is_wanted(r, of, stored, era))
			TRY(add_run(r, of, stored, era));
	}
}

static enum store_result
open_holder(struct runs *r, const struct holder *of)
{
	const unsigned wanted = r->q->states;
	int state;

	for (state = 0; state < STORE_STATE_COUNT; state++) {
		/* What is held may be stored as discarded, and the other way round. */
		unsigned as = 1U << state & SWEEP_STATES ? SWEEP_STATES : 1U << state;

		if ((wanted == 0 || (wanted & as) != 0) && (!r->q->gone || as == SWEEP_STATES))
			TRY(open_eras(r, of, (enum store_state)state));
	}
	return STORE_OK;
}

/* Whether that batch may have a row before the one on top. */
static bool
may_be_next(const struct runs *r, const struct holder *of)
{
	uint64_t id;

	if (r->count == 0)
		return true;
	id = r->heap[0]->keys[r->heap[0]->at].id;
	return !r->q->unordered && (r->q->newest ? of->last >= id : of->first <= id);
}

/* The run on top has the next row; none is left where there is no run. */
static enum store_result
find_next(struct runs *r)
{
	while (r->opened < r->holder_count && may_be_next(r, &r->holders[r->opened]))
		TRY(open_holder(r, &r->holders[r->opened++]));
	return STORE_OK;
}

/* The run on top goes on behind the row that was given. */
static enum store_result
go_on(struct runs *r)
{
	struct run *run = r->heap[0];

	if (run->at == run->count && !run->ended)
		TRY(read_keys(r, run));
	if (run->at == run->count) {
		free_run(run);
		r->heap[0] = r->heap[--r->count];
	}
	sift_down(r);
	return STORE_OK;
}

/* ---- rows ---- */

/* Mail of one environment stands in a batch that is not mixed: one row says whose all are. */
static bool
is_of_others(const struct runs *r, struct run *run, const struct delivery_row *d)
{
	bool first = !run->looked;

	run->looked = true;
	return first && !run->of->mixed && r->q->environment != 0 &&
	       d->environment != r->q->environment;
}

static enum store_result
give_row(struct runs *r, struct run *run, delivery_row_fn *row, void *context, uint32_t *given,
	 bool *more)
{
	static const char text[] = DELIVERY_COLUMNS " FROM delivery d" DELIVERY_JOINS
						    " WHERE d.message = ?1 AND d.number = ?2";
	const struct store_delivery_id key = run->keys[run->at++];
	struct delivery_row d;
	enum store_result result;
	sqlite3_stmt *s;
	bool found;

	TRY(sql_start(r->db, SQL_KEY(text), text, ARGS(INT(key.id), INT(key.number)), &s));
	result = sql_step(r->db, s, &found);
	if (result == STORE_OK && found) {
		sqlite_delivery_read(s, &d);
		if (!r->q->gone)
			sweep_read(&run->of->sweep, &d);
		if (is_of_others(r, run, &d)) {
			run->at = run->count;
			run->ended = true;
		} else if (r->q->gone || sweep_matches(r->q, &d)) {
			*more = row(context, &d) && ++*given != r->q->limit;
		}
	}
	sql_end(r->db, s);
	return result;
}

enum store_result
sqlite_runs_list(struct db *db, const struct delivery_query *q, delivery_row_fn *row, void *context)
{
	struct runs r = {.db = db, .q = q};
	enum store_result result = find_holders(&r);
	uint32_t given = 0;
	bool more = true;
	size_t i;

	while (result == STORE_OK && more) {
		result = find_next(&r);
		if (result != STORE_OK || r.count == 0)
			break;
		result = give_row(&r, r.heap[0], row, context, &given, &more);
		if (result == STORE_OK && more)
			result = go_on(&r);
	}
	for (i = 0; i < r.count; i++)
		free_run(r.heap[i]);
	free(r.heap);
	free(r.holders);
	return result;
}
