/*
 * STORE_DECIDE: somebody releases, discards or restores a batch, a part of it, or single
 * deliveries. Runs on the writer's thread inside a transaction. First everything is selected and
 * checked, then changed: what is refused has changed nothing.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/text.h"
#include "store/jobs.h"
#include "store/work_batch.h"

static const struct {
	const char *verb, *done, *event;
	enum store_state from, to;
} decisions[] = {
    [STORE_RELEASE] = {"release", "released", "batch.released", STORE_HELD, STORE_QUEUED},
    [STORE_DISCARD] = {"discard", "discarded", "batch.discarded", STORE_HELD, STORE_DISCARDED},
    [STORE_RESTORE] = {"restore", "restored", "batch.restored", STORE_DISCARDED, STORE_HELD},
    /* `to` is nowhere: it is gone. */
    [STORE_PURGE_NOW] = {"purge", "purged", "batch.purged", STORE_DISCARDED, STORE_DISCARDED},
};

struct selection {
	struct delivery_row *rows;
	size_t count;
};

/* ---- which ---- */

struct rank {
	uint64_t hash;
	size_t row;
};

/* FNV's high bits are weak for neighbours: finished as splitmix64 does. */
static uint64_t
rank_hash(const struct delivery_row *d)
{
	uint64_t h = text_hash(TEXT_HASH_START, &d->id, sizeof(d->id));

	h = text_hash(h, &d->number, sizeof(d->number));
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static int
by_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int
by_row(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return x->row < y->row ? -1 : x->row > y->row;
}

/* Keeps that share of the rows, rounded up, in their order. */
static void
keep_percent(struct work *w, struct selection *s, double percent)
{
	struct rank *ranks = arena_alloc(&w->arena, s->count * sizeof(*ranks));
	double share = (double)s->count * percent / 100;
	size_t i, keep = (size_t)share;

	/* 1e-9: 10 % of 100 is 10, whatever the division says in binary. */
	if (share > (double)keep + 1e-9)
		keep++;
	for (i = 0; i < s->count; i++)
		ranks[i] = (struct rank){rank_hash(&s->rows[i]), i};
	qsort(ranks, s->count, sizeof(*ranks), by_rank);
	qsort(ranks, keep, sizeof(*ranks), by_row);
	for (i = 0; i < keep; i++)
		s->rows[i] = s->rows[ranks[i].row];
	s->count = keep;
}

static void
keep_matching(const struct store_selector *by, struct selection *s)
{
	size_t i, kept = 0;

	if (by->match != NULL) {
		for (i = 0; i < s->count; i++)
			if (by->match(by->match_context, s->rows[i].recipient, s->rows[i].subject))
				s->rows[kept++] = s->rows[i];
		s->count = kept;
	}
	if (by->first > 0 && s->count > by->first)
		s->count = (size_t)by->first;
}

static enum store_result
select_batch(struct work *w, struct store_job *job, struct selection *s)
{
	const struct store_selector *by = &job->u.decide.selector;
	struct delivery_query q = {.batch = by->batch,
				   .states = 1U << decisions[job->u.decide.decision].from};
	bool reads_text = by->match != NULL;

	/* Nothing but `first` is asked: no need to read the rest. */
	if (by->first > 0 && by->first < UINT32_MAX && !reads_text && by->percent <= 0)
		q.limit = (uint32_t)by->first;
	TRY(work_list(w, &q, reads_text, &s->rows, &s->count));
	if (by->percent > 0 && by->percent < 100 && s->count > 0)
		keep_percent(w, s, by->percent);
	keep_matching(by, s);
	return STORE_OK;
}

static enum store_result
add_id(struct work *w, struct store_job *job, const struct store_delivery_id *want,
       struct selection *s, const char **why)
{
	enum store_state from = decisions[job->u.decide.decision].from;
	struct delivery_query q = {.message = want->id, .number = want->number};
	struct delivery_row *rows;
	char id[ID_DELIVERY_BYTES], name[ID_TEXT_BYTES];
	size_t i, n;

	TRY(work_list(w, &q, true, &rows, &n));
	if (want->number != 0)
		id_format_delivery(want->id, want->number, id);
	if (n == 0)
		return job_refuse(job, STORE_MISSING, "there is no delivery %s",
				  want->number != 0 ? id : id_format(want->id, name));
	s->rows = memcpy(arena_alloc(&w->arena, (s->count + n) * sizeof(*rows)),
			 s->count > 0 ? s->rows : rows, s->count * sizeof(*rows));
	for (i = 0; i < n; i++) {
		if (rows[i].state == from && rows[i].batch != 0)
			s->rows[s->count++] = rows[i];
		else
			*why = arena_printf(&w->arena, "%s is %s: only what is %s can be %s",
					    id_format_delivery(rows[i].id, rows[i].number, id),
					    store_state_name(rows[i].state), store_state_name(from),
					    decisions[job->u.decide.decision].done);
	}
	return STORE_OK;
}

static int
by_id(const void *a, const void *b)
{
	const struct delivery_row *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static enum store_result
select_ids(struct work *w, struct store_job *job, struct selection *s)
{
	const struct store_selector *by = &job->u.decide.selector;
	const char *why = NULL;
	size_t i, kept;

	for (i = 0; i < by->id_count; i++)
		TRY(add_id(w, job, &by->ids[i], s, &why));
	if (s->count > 0) {
		qsort(s->rows, s->count, sizeof(*s->rows), by_id);
		for (i = kept = 1; i < s->count; i++) /* named twice, done once */
			if (by_id(&s->rows[i], &s->rows[kept - 1]) != 0)
				s->rows[kept++] = s->rows[i];
		s->count = kept;
		if (by->percent > 0 && by->percent < 100)
			keep_percent(w, s, by->percent);
		keep_matching(by, s);
	}
	if (s->count > 0)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED, "%s",
			  why != NULL ? why : "no delivery was chosen; name some, or a batch");
}

/* ---- why not ---- */

static enum store_result
refuse_batch(struct work *w, struct store_job *job, const struct store_batch *b)
{
	enum store_decision decision = job->u.decide.decision;
	char at[CLOCK_ISO_BYTES];

	if (decision == STORE_RESTORE && b->discarded == 0)
		return job_refuse(
		    job, STORE_REFUSED,
		    "B%" PRId64 " has no discarded deliveries: there is nothing to restore", b->id);
	if (decision == STORE_RESTORE ? b->discarded > 0 && job->u.decide.selector.match == NULL
				      : b->held > 0)
		return job_refuse(job, STORE_REFUSED,
				  decision == STORE_RESTORE
				      ? "what was discarded of B%" PRId64
					" is purged: it cannot be restored"
				      : "nothing that B%" PRId64
					" holds matches; see `mailfuse messages B%" PRId64 "`",
				  b->id, b->id);
	if (decision == STORE_RESTORE)
		return job_refuse(job, STORE_REFUSED,
				  "nothing that was discarded of B%" PRId64 " matches", b->id);
	if (*b->decided_by == '\0')
		return job_refuse(job, STORE_REFUSED, "B%" PRId64 " holds nothing", b->id);
	clock_format_iso(b->decided_at, at);
	return job_refuse(
	    job, STORE_REFUSED, "B%" PRId64 " holds nothing; it was %s by %.60s at %s%s", b->id,
	    b->state == STORE_BATCH_DISCARDED ? "discarded" : "released", b->decided_by, at,
	    decision == STORE_RELEASE && b->discarded > 0
		? arena_printf(&w->arena,
			       "; `mailfuse restore B%" PRId64 "` brings back what was "
			       "discarded",
			       b->id)
		: "");
}

/* What is released under the panic button would be held again at once: say so instead. */
static enum store_result
check_holds(struct work *w, struct store_job *job, const struct selection *s)
{
	static const char *const option[] = {"--everything", "--environment ", "--source "};
	const struct store_hold *h;
	size_t i;

	if (job->u.decide.decision != STORE_RELEASE)
		return STORE_OK;
	for (i = 0; i < s->count; i++) {
		TRY(work_hold_find(w, s->rows[i].environment_name, s->rows[i].source, &h));
		if (h != NULL)
			return job_refuse(
			    job, STORE_REFUSED,
			    "%s%.60s is on hold by %.60s; first run `mailfuse unhold %s%.60s`",
			    h->scope == HOLD_EVERYTHING ? "everything" : "", h->name, h->who,
			    option[h->scope], h->name);
	}
	return STORE_OK;
}

/* ---- the change ---- */

static enum store_result
apply(struct work *w, struct store_job *job, const struct selection *s)
{
	const int64_t now = job->u.decide.now;
	const int64_t due_now = job->u.decide.due_now != 0 ? job->u.decide.due_now : now;
	const uint32_t rate = job->u.decide.rate_count;
	struct delivery_row next;
	size_t i;

	for (i = 0; i < s->count; i++) {
		next = s->rows[i];
		next.state = decisions[job->u.decide.decision].to;
		next.changed_at = now;
		next.due_at = 0;
		if (next.state == STORE_QUEUED) {
			int64_t later = 0;

			if (rate > 0)
				later = (int64_t)((__int128)i * job->u.decide.rate_window / rate);
			next.due_at = due_now + later;
			next.queued_at = next.due_at;
		}
		TRY(work_move(w, &s->rows[i], &next));
	}
	return STORE_OK;
}

static const char *
describe(struct work *w, const struct store_job *job, uint64_t recipients, uint64_t messages,
	 uint64_t left)
{
	const struct store_selector *by = &job->u.decide.selector;
	struct buf text = {0};
	const char *copy;

	buf_printf(&text, "recipients=%" PRIu64 " messages=%" PRIu64 " left=%" PRIu64, recipients,
		   messages, left);
	if (by->first > 0)
		buf_printf(&text, " first=%" PRIu64, by->first);
	if (by->percent > 0)
		buf_printf(&text, " percent=%g", by->percent);
	if (by->match != NULL)
		buf_add_text(&text, " by=pattern");
	if (by->batch == 0)
		buf_add_text(&text, " by=id");
	if (job->u.decide.rate_count > 0)
		buf_printf(&text, " rate=%u/%" PRId64 "s", job->u.decide.rate_count,
			   job->u.decide.rate_window / CLOCK_SECOND);
	copy = work_copy(w, buf_text(&text));
	buf_free(&text);
	return copy;
}

/* One batch of the decision: who decided, an audit row, an alert row. */
static enum store_result
record(struct work *w, struct store_job *job, int64_t batch, uint64_t recipients, uint64_t messages)
{
	const char *event = decisions[job->u.decide.decision].event;
	const char *who = job->u.decide.who, *reason = job->u.decide.reason;
	const char *done = decisions[job->u.decide.decision].done;
	int64_t now = job->u.decide.now;
	struct work_batch *wb;
	struct store_batch *b;

	TRY(work_batch(w, batch, &wb));
	b = &wb->row.b;
	b->decided_at = now;
	b->decided_by = who;
	b->decided_reason = reason;
	wb->dirty = true;
	job->u.decide.left += b->held;
	TRY(work_audit(w, now, who, event, arena_printf(&w->arena, "B%" PRId64, batch), reason,
		       describe(w, job, recipients, messages, b->held)));
	return work_alert(
	    w, &(struct event_row){
		   .at = now,
		   .event = event,
		   .environment = b->environment,
		   .batch = batch,
		   .count = (int64_t)recipients,
		   .who = who,
		   .reason = reason,
		   .text = arena_printf(&w->arena,
					"%s: %" PRIu64 " recipients of B%" PRId64
					" %s by %s (%" PRIu64 " still held): %s",
					*b->environment != '\0' ? b->environment : "mailfuse",
					recipients, batch, done, who, b->held, reason)});
}

static uint64_t
count_messages(const struct selection *s, int64_t batch)
{
	uint64_t n = 0, last = 0;
	size_t i;

	for (i = 0; i < s->count; i++) {
		if ((batch != 0 && s->rows[i].batch != batch) || s->rows[i].id == last)
			continue;
		last = s->rows[i].id;
		n++;
	}
	return n;
}

static int
by_number(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Each batch that the selection touched, once. */
static enum store_result
record_all(struct work *w, struct store_job *job, const struct selection *s)
{
	int64_t *batches = arena_alloc(&w->arena, s->count * sizeof(*batches));
	size_t i, n;

	for (i = 0; i < s->count; i++)
		batches[i] = s->rows[i].batch;
	qsort(batches, s->count, sizeof(*batches), by_number);
	for (i = 0; i < s->count; i += n) {
		for (n = 1; i + n < s->count && batches[i + n] == batches[i]; n++)
			;
		TRY(record(w, job, batches[i], n, count_messages(s, batches[i])));
	}
	return STORE_OK;
}

static bool
is_whole(const struct store_selector *by)
{
	return by->batch != 0 && by->first == 0 && by->match == NULL &&
	       (by->percent <= 0 || by->percent >= 100);
}

enum store_result
job_decide(struct work *w, struct store_job *job)
{
	const struct store_selector *by = &job->u.decide.selector;
	struct selection s = {.count = 0};
	struct work_batch *wb = NULL;

	if (by->batch != 0) {
		enum store_result r = work_batch(w, by->batch, &wb);

		if (r == STORE_MISSING)
			return job_refuse(
			    job, r, "there is no batch B%" PRId64 "; see `mailfuse batches --all`",
			    by->batch);
		TRY(r);
		TRY(select_batch(w, job, &s));
		if (s.count == 0)
			return refuse_batch(w, job, &wb->row.b);
		job->u.decide.stream_hash = wb->row.b.stream_hash;
	} else {
		TRY(select_ids(w, job, &s));
	}
	TRY(check_holds(w, job, &s));
	job->u.decide.recipients = s.count;
	job->u.decide.messages = count_messages(&s, 0);
	if (job->u.decide.dry_run) {
		if (wb != NULL)
			job->u.decide.left =
			    wb->row.b.held +
			    (job->u.decide.decision == STORE_RESTORE ? s.count : -s.count);
		return STORE_OK;
	}
	TRY(apply(w, job, &s));
	if (wb != NULL && is_whole(by) && wb->row.b.collecting) {
		wb->row.b.collecting = false;
		wb->row.b.ended_at =
		    job->u.decide.due_now != 0 ? job->u.decide.due_now : job->u.decide.now;
		job->u.decide.closed = true;
	}
	return record_all(w, job, &s);
}
