/*
 * See pulse.h. Two parts: what is settled, summed up once in rings of minutes and of ten minutes,
 * and the last few minutes, which are read anew, because the writer may still add to them: a
 * message that was being stored when its minute ended is counted with the next write.
 *
 * Bounds: ENVIRONMENTS_MAX environments have sums, 10 KB each; one update reads some 10,000 rows at
 * most and goes on after a moment, so that a gate with a million rows a day does not stand still
 * for them.
 */
#include "control/pulse.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	ENVIRONMENTS_MAX = 2000,
	ROWS_AT_ONCE = 1000,
	HOUR = 60,
	UNSETTLED = 3, /* minutes */
	FRESH = 8      /* slots for these, and for a clock that was set forward */
};
#define PATIENCE (10 * INT64_C(1000)) /* us of one update */
#define GO_ON_AFTER (20 * INT64_C(1000))
#define FRESH_FOR CLOCK_SECOND

struct slot {
	int64_t at; /* its minute, or ten minutes, since 1970 */
	struct pulse_sums sums;
};

struct member {
	UT_hash_handle hh;
	struct slot minutes[HOUR + UNSETTLED], steps[PULSE_STEPS + 1];
	struct slot fresh[FRESH];
	char name[];
};

struct pulse {
	const struct control_deps *deps;
	struct loop_timer *timer;
	struct member *members;
	int64_t since, after; /* wall clock, 0 = nothing was read; the last row's number */
	int64_t settled;      /* minutes before this one are being read, or were */
	int64_t fresh_at;     /* mono: when the last minutes were read */
	bool complete;
	/* of the part that is being read */
	bool is_fresh;
	uint32_t rows;
};

static void pulse_go_on(void *context);

struct pulse *
pulse_new(const struct control_deps *deps)
{
	struct pulse *p = mem_zalloc(sizeof(*p));

	p->deps = deps;
	p->timer = loop_timer_new(deps->loop, pulse_go_on, p);
	return p;
}

static void
forget(struct pulse *p)
{
	struct member *m, *next;

	HASH_ITER(hh, p->members, m, next)
	{
		HASH_DEL(p->members, m);
		free(m);
	}
}

void
pulse_free(struct pulse *p)
{
	if (p == NULL)
		return;
	forget(p);
	loop_timer_free(p->timer);
	free(p);
}

/* ---- sums */

static struct member *
find(const struct pulse *p, const char *name)
{
	struct member *m;

	HASH_FIND(hh, p->members, name, strlen(name), m);
	return m;
}

static struct member *
find_or_add(struct pulse *p, const char *name)
{
	struct member *m = find(p, name);
	size_t len = strlen(name);

	if (m != NULL || HASH_COUNT(p->members) >= ENVIRONMENTS_MAX)
		return m;
	m = mem_zalloc(sizeof(*m) + len + 1);
	memcpy(m->name, name, len + 1);
	HASH_ADD_KEYPTR(hh, p->members, m->name, len, m);
	return m;
}

static void
sums_add(struct pulse_sums *to, const struct pulse_sums *from)
{
	to->messages += from->messages;
	to->recipients += from->recipients;
	to->passed += from->passed;
	to->waited += from->waited;
	to->held += from->held;
	to->dropped += from->dropped;
}

/* Into the ring's slot for `at`, unless that is of a later time already. */
static void
ring_add(struct slot *ring, int64_t size, int64_t at, const struct pulse_sums *sums)
{
	struct slot *s = &ring[at % size];

	if (s->at > at)
		return;
	if (s->at < at)
		*s = (struct slot){.at = at};
	sums_add(&s->sums, sums);
}

static bool
add_row(void *context, int64_t number, const struct store_traffic *t)
{
	struct pulse *p = context;
	struct member *m = find_or_add(p, t->environment);
	const int64_t minute = t->minute / CLOCK_MINUTE;
	const struct pulse_sums sums = {.messages = t->messages,
					.recipients = t->recipients,
					.passed = t->passed,
					.waited = t->waited,
					.held = t->held,
					.dropped = t->dropped};

	p->rows++;
	if (!p->is_fresh)
		p->after = number;
	if (m == NULL || minute < 0)
		return true;
	if (p->is_fresh) {
		ring_add(m->fresh, FRESH, minute, &sums);
		return true;
	}
	ring_add(m->minutes, HOUR + UNSETTLED, minute, &sums);
	ring_add(m->steps, PULSE_STEPS + 1, minute / PULSE_STEP_MINUTES, &sums);
	return true;
}

/* ---- reading */

static enum store_result
read_settled(struct pulse *p, int64_t until)
{
	enum store_result r;

	do {
		p->rows = 0;
		p->is_fresh = false;
		r = store_view_traffic(p->deps->view, p->since, p->settled * CLOCK_MINUTE, p->after,
				       ROWS_AT_ONCE, add_row, p);
		if (r != STORE_OK)
			return r;
		p->complete = p->rows < ROWS_AT_ONCE;
	} while (!p->complete && clock_mono() < until);
	return STORE_OK;
}

/* As many rows as one update may read; a gate with more streams shows what there is room for. */
static enum store_result
read_fresh(struct pulse *p, int64_t now)
{
	struct member *m, *next;

	HASH_ITER(hh, p->members, m, next)
	memset(m->fresh, 0, sizeof(m->fresh));
	p->rows = 0;
	p->is_fresh = true;
	p->fresh_at = now;
	return store_view_traffic(p->deps->view, p->settled * CLOCK_MINUTE, INT64_MAX, 0,
				  10 * ROWS_AT_ONCE, add_row, p);
}

enum store_result
pulse_update(struct pulse *p, bool *complete)
{
	const int64_t now = clock_mono(), minute = clock_wall() / CLOCK_MINUTE;
	const bool moves = minute - UNSETTLED != p->settled;
	enum store_result r = STORE_OK;

	/* At first, and where the clock was set back, or nobody has asked for a day. */
	if (p->since == 0 || minute - UNSETTLED < p->settled ||
	    minute - p->settled > PULSE_STEPS * PULSE_STEP_MINUTES) {
		forget(p);
		p->since = (minute - PULSE_STEPS * PULSE_STEP_MINUTES) * CLOCK_MINUTE;
		p->after = 0;
		p->complete = false;
	}
	if (moves)
		p->complete = false;
	p->settled = minute - UNSETTLED;
	if (!p->complete)
		r = read_settled(p, now + PATIENCE);
	if (r == STORE_OK && (moves || p->fresh_at == 0 || now - p->fresh_at > FRESH_FOR))
		r = read_fresh(p, now);
	if (r == STORE_OK && !p->complete)
		loop_timer_set(p->timer, GO_ON_AFTER);
	*complete = p->complete;
	return r;
}

/* Where it fails, whoever asks next is told. */
static void
pulse_go_on(void *context)
{
	bool complete;

	(void)pulse_update(context, &complete);
}

/* ---- asking */

static void
add_minutes(const struct slot *ring, int size, int64_t now, struct pulse_rates *out)
{
	for (int i = 0; i < size; i++) {
		const struct slot *s = &ring[i];

		if (s->at == now - 1)
			sums_add(&out->minute, &s->sums);
		if (s->at > now - HOUR - 1 && s->at < now)
			sums_add(&out->hour, &s->sums);
	}
}

static void
add_step(struct pulse_rates *out, int64_t first, int64_t step, const struct pulse_sums *sums)
{
	if (step < first || step >= first + PULSE_STEPS)
		return;
	sums_add(&out->steps[step - first], sums);
	sums_add(&out->day, sums);
}

void
pulse_rates(const struct pulse *p, const char *environment, struct pulse_rates *out)
{
	const int64_t now = clock_wall() / CLOCK_MINUTE;
	const int64_t first = now / PULSE_STEP_MINUTES - PULSE_STEPS + 1;
	const struct member *m = find(p, environment);

	*out = (struct pulse_rates){.first_step_at = first * PULSE_STEP_MINUTES * CLOCK_MINUTE};
	if (m == NULL)
		return;
	add_minutes(m->minutes, HOUR + UNSETTLED, now, out);
	add_minutes(m->fresh, FRESH, now, out);
	for (int i = 0; i < PULSE_STEPS + 1; i++)
		add_step(out, first, m->steps[i].at, &m->steps[i].sums);
	for (int i = 0; i < FRESH; i++)
		add_step(out, first, m->fresh[i].at / PULSE_STEP_MINUTES, &m->fresh[i].sums);
}
