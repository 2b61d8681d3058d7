/*
 * Summaries of alerts. See digest.h; called by outbox.c on the main loop. Of the alerts in it a
 * summary keeps their rows, how many there are of each event, and the first few texts.
 */
#include "alert/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/wording.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"

/* There are some 30 events; more are counted under "other". */
enum { KINDS_MAX = 40, TEXTS_MAX = 3, TEXT_BYTES = 300 };

struct digest_kind {
	char *event;
	size_t count, text_count;
	char *texts[TEXTS_MAX];
};

void
digest_init(struct digest *d, int64_t first)
{
	*d = (struct digest){.first = first, .wait = first};
}

/* All but what was told. */
static void
forget(struct digest *d)
{
	for (size_t i = 0; i < d->kind_count; i++) {
		struct digest_kind *k = &d->kinds[i];

		for (size_t t = 0; t < k->text_count; t++)
			free(k->texts[t]);
		free(k->event);
	}
	free(d->kinds);
	free(d->rows);
	free(d->environment);
	d->kinds = NULL;
	d->rows = NULL;
	d->environment = NULL;
	d->kind_count = d->count = d->room = 0;
	d->tries = 0;
}

void
digest_free(struct digest *d)
{
	forget(d);
	free(d->told);
	d->told = NULL;
}

/* ---- one by one, or not */

bool
digest_wants(struct digest *d, uint32_t per_hour, int64_t now)
{
	if (d->size != per_hour) { /* new, or after a reload */
		free(d->told);
		d->told = per_hour > 0 ? mem_zalloc(per_hour * sizeof(*d->told)) : NULL;
		d->size = per_hour;
		d->next = 0;
	}
	if (d->count > 0)
		return true; /* in order: not before those that wait */
	return per_hour > 0 && d->told[d->next] != 0 && now - d->told[d->next] < CLOCK_HOUR;
}

void
digest_count(struct digest *d, int64_t now)
{
	d->wait = d->first;
	if (d->size == 0)
		return;
	d->told[d->next] = now;
	d->next = (d->next + 1) % d->size;
}

/* ---- what is in it */

static struct digest_kind *
kind_of(struct digest *d, const char *event)
{
	if (d->kind_count >= KINDS_MAX)
		event = "other";
	for (size_t i = 0; i < d->kind_count; i++)
		if (strcmp(d->kinds[i].event, event) == 0)
			return &d->kinds[i];
	d->kinds = mem_resize_array(d->kinds, d->kind_count + 1, sizeof(*d->kinds));
	d->kinds[d->kind_count] = (struct digest_kind){.event = mem_strdup(event)};
	return &d->kinds[d->kind_count++];
}

static char *
cut(const char *text)
{
	struct buf out = {0};
	char *kept;

	wording_cut(&out, text, TEXT_BYTES);
	kept = mem_strdup(buf_text(&out));
	buf_free(&out);
	return kept;
}

void
digest_add(struct digest *d, const struct store_alert *alert, int64_t now)
{
	struct digest_kind *k = kind_of(d, alert->event);

	if (d->count == 0) {
		d->since = now;
		d->due = now + d->wait;
		d->environment = mem_strdup(alert->environment);
	} else if (strcmp(d->environment, alert->environment) != 0) {
		d->environment[0] = '\0';
	}
	if (d->count == d->room) {
		d->room = d->room > 0 ? 2 * d->room : 64;
		d->rows = mem_resize_array(d->rows, d->room, sizeof(*d->rows));
	}
	d->rows[d->count++] = (struct digest_row){alert->row, alert->first_tried_at};
	if (alert->tries > d->tries)
		d->tries = alert->tries;
	if (k->text_count < TEXTS_MAX)
		k->texts[k->text_count++] = cut(alert->text);
	k->count++;
}

bool
digest_is_due(const struct digest *d, int64_t now)
{
	return d->count > 0 && now >= d->due;
}

struct digest_row *
digest_take(struct digest *d, size_t *count)
{
	struct digest_row *rows = d->rows;

	*count = d->count;
	d->rows = NULL;
	forget(d);
	d->wait = 2 * d->wait < DIGEST_MOST ? 2 * d->wait : DIGEST_MOST;
	return rows;
}

/* ---- what it says */

static int
by_count(const void *a, const void *b)
{
	const struct digest_kind *const *x = a, *const *y = b;

	if ((*x)->count != (*y)->count)
		return (*x)->count < (*y)->count ? -1 : 1;
	return strcmp((*x)->event, (*y)->event);
}

static char *
head(const struct digest *d, const struct digest_kind *const *kinds, int64_t now)
{
	char span[UNITS_BYTES], *text;
	struct buf out = {0};
	int64_t took = now - d->since;

	units_format_duration(
	    took > CLOCK_SECOND ? took / CLOCK_SECOND * CLOCK_SECOND : CLOCK_SECOND, span);
	buf_printf(&out, "%zu more %s within %s:", d->count, d->count == 1 ? "alert" : "alerts",
		   span);
	for (size_t i = 0; i < d->kind_count; i++)
		buf_printf(&out, "%s %zu %s", i > 0 ? "," : "", kinds[i]->count, kinds[i]->event);
	text = mem_strdup(buf_text(&out));
	buf_free(&out);
	return text;
}

void
digest_sum_up(const struct digest *d, int64_t now, struct digest_summary *out)
{
	const struct digest_kind *kinds[KINDS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < d->kind_count; i++)
		kinds[i] = &d->kinds[i];
	qsort(kinds, d->kind_count, sizeof(kinds[0]), by_count);
	out->text = head(d, kinds, now);
	out->lines = mem_zalloc((d->kind_count * (TEXTS_MAX + 1) + 1) * sizeof(*out->lines));
	for (size_t i = 0; i < d->kind_count; i++) {
		const struct digest_kind *k = kinds[i];

		for (size_t t = 0; t < k->text_count; t++)
			out->lines[n++] = mem_printf("- %s", k->texts[t]);
		if (k->count > k->text_count)
			out->lines[n++] =
			    mem_printf("- and %zu more of %s", k->count - k->text_count, k->event);
	}
}

void
digest_summary_free(struct digest_summary *s)
{
	for (size_t i = 0; s->lines != NULL && s->lines[i] != NULL; i++)
		free(s->lines[i]);
	free(s->lines);
	free(s->text);
	*s = (struct digest_summary){0};
}
