/*
 * One transaction's memory, and the state machine of deliveries: every change of a state goes
 * through work_add(), work_move() and work_delete(). Called by the job_*.c files and the writer, on
 * the writer's thread; the writer frees it. Batches and holds are in work_batch.c.
 */
#include "store/work.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/tally.h"
#include "store/plan.h"
#include "store/recall.h"
#include "store/sweep.h"

/* Which state may follow which (drawn in store.h). */
static const unsigned delivery_moves[STORE_STATE_COUNT] = {
    [STORE_QUEUED] = 1U << STORE_QUEUED | 1U << STORE_SENT | 1U << STORE_FAILED | 1U << STORE_HELD,
    [STORE_WAITING] = 1U << STORE_QUEUED | 1U << STORE_HELD,
    [STORE_HELD] = 1U << STORE_QUEUED | 1U << STORE_DISCARDED,
    [STORE_DISCARDED] = 1U << STORE_HELD,
    [STORE_DROPPED] = 1U << STORE_QUEUED,
};

void
work_drop_job(struct work *w)
{
	SLIST_INIT(&w->batches);
	w->uncounted = false;
	arena_free(&w->arena);
	w->new_message = 0;
}

void
work_forget(struct work *w)
{
	size_t i;

	work_drop_job(w);
	recall_rolled_back(w);
	for (i = 0; i < w->environment_count; i++)
		free(w->environments[i].name);
	free(w->environments);
	w->environments = NULL;
	w->environment_count = 0;
	w->highest_id = w->highest_id_written;
	chain_forget(w);
	w->held = w->dropped = 0;
	w->count_count = 0;
	work_holds_changed(w);
}

void
work_free(struct work *w)
{
	work_forget(w);
	free(w->counts);
	w->counts = NULL;
	w->count_cap = 0;
}

enum store_result
work_flush(struct work *w)
{
	size_t i;
	int state;

	for (i = 0; i < w->environment_count; i++) {
		struct work_environment *e = &w->environments[i];

		for (state = 0; state < STORE_STATE_COUNT; state++) {
			if (e->counts[state] == 0)
				continue;
			TRY(w->b->count_add(w->db, e->number, (enum store_state)state,
					    e->counts[state]));
			e->counts[state] = 0;
		}
	}
	if (w->highest_id > w->highest_id_written)
		TRY(w->b->meta_set(w->db, "last_id", (int64_t)w->highest_id));
	return STORE_OK;
}

/* Neighbours are mostly of one rule. */
static struct work_count *
count_of(struct work *w, const char *environment, const char *rule)
{
	struct work_count *c = w->count_count > 0 ? &w->counts[w->count_count - 1] : NULL;

	if (c != NULL && tally_is(c->tally, environment, rule))
		return c;
	if (w->count_count == w->count_cap) {
		w->count_cap = w->count_cap > 0 ? w->count_cap * 2 : 16;
		w->counts = mem_resize_array(w->counts, w->count_cap, sizeof(*w->counts));
	}
	c = &w->counts[w->count_count++];
	*c = (struct work_count){.tally = tally_get(environment, rule)};
	return c;
}

void
work_count_leak(struct work *w, const struct store_batch *b, int64_t n)
{
	if (n > 0 && w->first_opened == 0)
		w->first_opened = b->id;
	/* What leaked before the last start was told then. */
	if (n > 0 || (n < 0 && w->first_opened != 0 && b->id >= w->first_opened))
		count_of(w, b->environment, b->rule)->leaked += n;
}

/* It comes into a batch; what a ruling lets through, and an import, holds nothing back now. */
static enum store_result
count_held(struct work *w, const struct delivery_row *d)
{
	struct work_batch *wb;

	if (w->uncounted || (SWEEP_STATES >> d->state & 1) == 0)
		return STORE_OK;
	TRY(work_batch(w, d->batch, &wb));
	count_of(w, d->environment_name, wb->row.b.rule)->held++;
	return STORE_OK;
}

static void
tell_counts(struct work *w)
{
	int64_t now = w->count_count > 0 ? clock_mono() : 0;
	size_t i;

	for (i = 0; i < w->count_count; i++) {
		tally_add(w->counts[i].tally, TALLY_HELD, w->counts[i].held);
		if (w->counts[i].leaked != 0)
			tally_leak(w->counts[i].tally, w->counts[i].leaked, now);
	}
	w->count_count = 0;
}

void
work_committed(struct work *w)
{
	w->highest_id_written = w->highest_id;
	chain_committed(w);
	recall_committed(w);
	metric_add(METRIC_RECIPIENTS_HELD, w->held);
	metric_add(METRIC_RECIPIENTS_DROPPED, w->dropped);
	w->held = w->dropped = 0;
	tell_counts(w);
}

static struct work_environment *
environment_by_number(struct work *w, int64_t number)
{
	size_t i;

	for (i = 0; i < w->environment_count; i++)
		if (w->environments[i].number == number)
			return &w->environments[i];
	return NULL;
}

static struct work_environment *
environment_add(struct work *w, int64_t number, const char *name)
{
	struct work_environment *e;

	w->environments = mem_resize_array(w->environments, w->environment_count + 1, sizeof(*e));
	e = &w->environments[w->environment_count++];
	*e = (struct work_environment){.number = number, .name = mem_strdup(name)};
	return e;
}

enum store_result
work_environment(struct work *w, const char *name, bool make, struct work_environment **out)
{
	int64_t number;
	size_t i;

	for (i = 0; i < w->environment_count; i++) {
		*out = &w->environments[i];
		if (strcmp((*out)->name, name) == 0)
			return STORE_OK;
	}
	TRY(w->b->environment(w->db, name, make, &number));
	*out = environment_add(w, number, name);
	return STORE_OK;
}

static void
count(struct work *w, const struct delivery_row *d, enum store_state state, int64_t n)
{
	struct work_environment *e = environment_by_number(w, d->environment);

	if (e == NULL)
		e = environment_add(w, d->environment, d->environment_name);
	e->counts[state] += n;
}

static void
count_metrics(struct work *w, enum store_state from, enum store_state to)
{
	if (to == STORE_HELD && from != STORE_DISCARDED && from != STORE_HELD)
		w->held++;
	if (to == STORE_DROPPED)
		w->dropped++;
}

/* What is held or discarded stands in a batch, and in its era: see struct sweep. */
static enum store_result
enter_era(struct work *w, struct delivery_row *d)
{
	struct work_batch *wb;
	char id[ID_DELIVERY_BYTES];

	d->era = 0;
	if ((SWEEP_STATES >> d->state & 1) == 0)
		return STORE_OK;
	if (d->batch == 0)
		panic("delivery %s must not be %s without a batch",
		      id_format_delivery(d->id, d->number, id), store_state_name(d->state));
	TRY(work_batch(w, d->batch, &wb));
	d->era = wb->row.era;
	return STORE_OK;
}

enum store_result
work_add(struct work *w, const struct delivery_row *added)
{
	struct delivery_row in_era;
	const struct delivery_row *d = added;

	if ((SWEEP_STATES >> added->state & 1) != 0) {
		in_era = *added;
		TRY(enter_era(w, &in_era));
		d = &in_era;
	}
	/* While the row is not there yet, see work_move(). */
	if (d->batch != 0) {
		TRY(work_batch_enter(w, d));
		TRY(count_held(w, d));
	}
	TRY(w->b->delivery_add(w->db, d));
	TRY(recall_index(w, NULL, d));
	count(w, d, d->state, 1);
	count_metrics(w, STORE_STATE_COUNT, d->state);
	return STORE_OK;
}

enum store_result
work_move(struct work *w, const struct delivery_row *d, const struct delivery_row *wanted)
{
	struct delivery_row counted = *wanted, *next = &counted;
	char id[ID_DELIVERY_BYTES];

	if ((delivery_moves[d->state] >> next->state & 1) == 0)
		panic("delivery %s must not go from %s to %s",
		      id_format_delivery(d->id, d->number, id), store_state_name(d->state),
		      store_state_name(next->state));
	if (next->notice != d->notice &&
	    (d->notice != STORE_NOTICE_NONE || next->notice != STORE_NOTICE_PENDING ||
	     (next->state != STORE_FAILED && next->state != STORE_SENT)))
		panic("delivery %s: notice must not go from %d to %d as it becomes %s",
		      id_format_delivery(d->id, d->number, id), (int)d->notice, (int)next->notice,
		      store_state_name(next->state));
	/* What is held may be a plan's without a tag. */
	if (d->batch != 0 && next->batch == d->batch &&
	    (d->ring != 0 || next->ring != 0 || d->state == STORE_HELD))
		TRY(plan_count(w, d, next));
	TRY(enter_era(w, next));
	if (next->batch != d->batch) {
		if (d->batch != 0)
			panic("delivery %s must not leave its batch",
			      id_format_delivery(d->id, d->number, id));
		TRY(recall_count(w, d));
		/* Entered while the row is not there yet: it looks whether other deliveries of the
		 * message stand in the batch. */
		TRY(work_batch_enter(w, next));
		TRY(count_held(w, next));
		TRY(w->b->delivery_set(w->db, next));
	} else {
		TRY(w->b->delivery_set(w->db, next));
		if (d->batch != 0)
			TRY(work_batch_change(w, d->batch, d->state, next->state));
	}
	TRY(recall_index(w, d, next));
	if (d->state != next->state) {
		count(w, d, d->state, -1);
		count(w, d, next->state, 1);
		count_metrics(w, d->state, next->state);
		log_debug("%s delivery from=%s to=%s", id_format_delivery(d->id, d->number, id),
			  store_state_name(d->state), store_state_name(next->state));
	}
	return STORE_OK;
}

enum store_result
work_sweep(struct work *w, struct work_batch *wb, enum store_state to, int64_t now)
{
	const enum store_state from = to == STORE_HELD ? STORE_DISCARDED : STORE_HELD;
	struct store_batch *b = &wb->row.b;
	const uint64_t n = from == STORE_HELD ? b->held : b->discarded - b->purged;
	struct delivery_row *any;
	size_t found;

	if (wb->row.mixed || (SWEEP_STATES >> to & 1) == 0)
		panic("B%" PRId64 " must not be swept", b->id);
	TRY(work_list(w, &(struct delivery_query){.batch = b->id, .states = 1U << from, .limit = 1},
		      false, &any, &found));
	if (found == 0)
		return STORE_OK;
	count(w, any, from, -(int64_t)n);
	count(w, any, to, (int64_t)n);
	work_batch_sweep(wb, from, to, n);
	wb->row.sweep.before = ++wb->row.era;
	wb->row.sweep.state = to;
	wb->row.sweep.at = now;
	log_debug("B%" PRId64 " sweep from=%s to=%s deliveries=%" PRIu64, b->id,
		  store_state_name(from), store_state_name(to), n);
	return STORE_OK;
}

enum store_result
work_sweep_away(struct work *w, struct work_batch *wb)
{
	struct store_batch *b = &wb->row.b;
	const uint64_t n = b->discarded - b->purged;
	struct delivery_query q = {.batch = b->id, .states = 1U << STORE_DISCARDED, .limit = 1};
	struct delivery_row *any;
	size_t found;

	TRY(work_list(w, &q, false, &any, &found));
	if (found == 0)
		return STORE_OK;
	count(w, any, STORE_DISCARDED, -(int64_t)n);
	b->purged += n;
	wb->row.sweep.gone = b->held == 0 ? ++wb->row.era : wb->row.sweep.before;
	wb->dirty = true;
	return STORE_OK;
}

/* Taken, so that it is no stream's member; in no batch, so that no plan counts it. */
enum store_result
work_sent(struct work *w, const char *environment, struct delivery_sent *s)
{
	struct work_environment *e;
	char id[ID_DELIVERY_BYTES];

	TRY(work_environment(w, environment, false, &e));
	s->environment = e->number;
	TRY(w->b->delivery_sent(w->db, s));
	e->counts[STORE_QUEUED]--;
	e->counts[STORE_SENT]++;
	log_debug("%s delivery from=%s to=%s", id_format_delivery(s->id, s->number, id),
		  store_state_name(STORE_QUEUED), store_state_name(STORE_SENT));
	return STORE_OK;
}

enum store_result
work_mark(struct work *w, const struct delivery_row *d, int64_t ring)
{
	struct delivery_row next = *d;
	struct work_batch *wb;

	TRY(work_batch(w, d->batch, &wb));
	if (d->era >= wb->row.sweep.before || (SWEEP_STATES >> d->state & 1) == 0)
		return w->b->delivery_mark(w->db, d->id, d->number, ring);
	next.ring = ring;
	TRY(enter_era(w, &next));
	return w->b->delivery_set(w->db, &next);
}

enum store_result
work_settle_notice(struct work *w, const struct delivery_row *d, enum store_notice_state to,
		   const char *told)
{
	struct delivery_row next = *d;
	char id[ID_DELIVERY_BYTES];

	if (d->notice != STORE_NOTICE_PENDING || to == STORE_NOTICE_PENDING)
		panic("delivery %s: notice must not go from %d to %d",
		      id_format_delivery(d->id, d->number, id), (int)d->notice, (int)to);
	next.notice = to;
	next.told = told;
	TRY(w->b->delivery_set(w->db, &next));
	log_debug("%s notice from=pending to=%s", id_format_delivery(d->id, d->number, id),
		  to == STORE_NOTICE_TOLD ? "told" : "none");
	return STORE_OK;
}

enum store_result
work_delete(struct work *w, const struct delivery_row *d)
{
	struct work_batch *wb;

	TRY(w->b->delivery_delete(w->db, d->id, d->number));
	count(w, d, d->state, -1);
	if (d->batch == 0 || d->state != STORE_DISCARDED)
		return STORE_OK;
	TRY(work_batch(w, d->batch, &wb));
	wb->row.b.purged++;
	wb->dirty = true;
	return STORE_OK;
}

static bool
see_any(void *context, const struct delivery_row *d)
{
	(void)d;
	*(bool *)context = true;
	return false;
}

enum store_result
work_delete_message(struct work *w, uint64_t id)
{
	struct delivery_query q = {.message = id, .unordered = true, .limit = 1};
	bool left = false;

	TRY(w->b->delivery_list(w->db, &q, see_any, &left));
	return left ? STORE_OK : w->b->message_delete(w->db, id);
}

/* ---- lists ---- */

struct listing {
	struct work *w;
	struct delivery_row *rows;
	size_t count, cap;
	bool strings;
	delivery_row_fn *keep;
	void *context;
};

const char *
work_copy(struct work *w, const char *text)
{
	return text == NULL || *text == '\0' ? "" : arena_strdup(&w->arena, text);
}

const char *
work_recipients(struct work *w, uint64_t n)
{
	return arena_printf(&w->arena, "%" PRIu64 " recipient%s", n, n == 1 ? "" : "s");
}

/* Neighbours mostly share these: one copy then. */
static const char *
copy_like(struct work *w, const char *text, const char *last)
{
	return last != NULL && strcmp(text, last) == 0 ? last : work_copy(w, text);
}

static bool
take_row(void *context, const struct delivery_row *d)
{
	struct listing *l = context;
	struct delivery_row *to, *last;

	if (l->keep != NULL && !l->keep(l->context, d))
		return true;
	if (l->count == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		l->rows = mem_resize_array(l->rows, l->cap, sizeof(*l->rows));
	}
	last = l->count > 0 ? &l->rows[l->count - 1] : NULL;
	to = &l->rows[l->count++];
	*to = *d;
	to->environment_name =
	    copy_like(l->w, d->environment_name, last ? last->environment_name : NULL);
	to->source = copy_like(l->w, d->source, last ? last->source : NULL);
	to->sender = copy_like(l->w, d->sender, last ? last->sender : NULL);
	to->subject = copy_like(l->w, d->subject, last ? last->subject : NULL);
	to->campaign = NULL; /* for views only */
	to->keys_len = d->batch == 0 ? d->keys_len : 0;
	to->keys = NULL;
	if (to->keys_len > 0)
		to->keys = memcpy(arena_alloc(&l->w->arena, d->keys_len), d->keys, d->keys_len);
	/* What stands in no batch may come into one, which counts its people. */
	to->recipient = l->strings || d->batch == 0 ? work_copy(l->w, d->recipient) : NULL;
	to->final = l->strings ? work_copy(l->w, d->final) : NULL;
	to->orcpt = l->strings ? work_copy(l->w, d->orcpt) : NULL;
	/* unchanged, for delivery_set() */
	to->rule = to->reason = to->reply = to->remote_mta = to->told = NULL;
	return true;
}

static enum store_result
list_rows(const struct delivery_query *q, struct listing *l, struct delivery_row **rows,
	  size_t *count_out)
{
	struct work *w = l->w;
	enum store_result r = w->b->delivery_list(w->db, q, take_row, l);

	*rows = NULL;
	*count_out = 0;
	if (r == STORE_OK && l->count > 0) {
		*rows = arena_alloc(&w->arena, l->count * sizeof(*l->rows));
		memcpy(*rows, l->rows, l->count * sizeof(*l->rows));
		*count_out = l->count;
	}
	free(l->rows);
	return r;
}

enum store_result
work_list(struct work *w, const struct delivery_query *q, bool strings, struct delivery_row **rows,
	  size_t *count_out)
{
	struct listing l = {.w = w, .strings = strings};

	return list_rows(q, &l, rows, count_out);
}

enum store_result
work_list_some(struct work *w, const struct delivery_query *q, delivery_row_fn *keep, void *context,
	       struct delivery_row **rows, size_t *count_out)
{
	struct listing l = {.w = w, .keep = keep, .context = context};

	return list_rows(q, &l, rows, count_out);
}

/* ---- audit and alerts ---- */

enum store_result
work_audit(struct work *w, int64_t at, const char *who, const char *action, const char *object,
	   const char *reason, const char *detail)
{
	struct audit_link link = {
	    .at = at,
	    .who = who != NULL && *who != '\0' ? who : "gate",
	    .action = action,
	    .object = object != NULL ? object : "",
	    .reason = reason != NULL ? reason : "",
	    .detail = detail != NULL ? detail : "",
	};

	return chain_add(w, &link);
}

static const char *
one_line(struct work *w, const char *text)
{
	char *line, *p;

	if (text == NULL || *text == '\0')
		return "";
	line = arena_strdup(&w->arena, text);
	for (p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return line;
}

enum store_result
work_alert(struct work *w, const struct event_row *e)
{
	struct event_row row = *e;

	row.text = one_line(w, e->text);
	row.who = e->who != NULL ? e->who : "";
	row.reason = e->reason != NULL ? e->reason : "";
	row.environment = e->environment != NULL ? e->environment : "";
	return w->b->event_add(w->db, &row);
}

uint64_t
work_id_at(int64_t wall)
{
	return wall > 0 ? (uint64_t)(wall / 1000) << 16 : 0;
}

int64_t
work_time_of(uint64_t id)
{
	return (int64_t)(id >> 16) * 1000;
}
