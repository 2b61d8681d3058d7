/*
 * The timeline of a batch's story: out of the batch itself, its alerts and the audit rows about it.
 * See story_facts.h. Called by story.c; main loop.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "control/json.h"
#include "control/story_facts.h"

enum { AUDIT_ROWS_MAX = 1000, ALERTS_MAX = 500 };

struct moment {
	int64_t at;
	size_t number; /* of the same microsecond the earlier one comes first */
	json_t *entry;
};

struct timeline {
	struct story_facts *f;
	struct moment *moments;
	size_t count;
	char *deciders[STORY_PEOPLE_MAX];
};

/* Takes `text`. */
static void
add_moment(struct timeline *t, int64_t at, const char *event, const char *who, char *text,
	   const char *reason)
{
	json_t *o = json_make_object();
	char *masked = story_mask_text(reason);

	json_put_time(o, "at", at);
	json_put_text(o, "event", event);
	json_put_text(o, "who", story_person(&t->f->people, who));
	json_put_text(o, "text", text);
	json_put_text(o, "reason", masked);
	free(masked);
	free(text);
	t->moments = mem_resize_array(t->moments, t->count + 1, sizeof(*t->moments));
	t->moments[t->count] = (struct moment){at, t->count, o};
	t->count++;
}

/* ---- what the audit log says */

static const struct {
	const char *action, *text;
	bool decision; /* of a person, about the mail */
} actions[] = {
    {"batch.released", "released", true},
    {"batch.discarded", "discarded", true},
    {"batch.restored", "restored", true},
    {"batch.purged", "purged for good", true},
    {"batch.asked", "asked for a release, which needs a second person", true},
    {"batch.approved", "approved the release", true},
    {"batch.lapsed", "the request was not approved in time", false},
    {"batch.paused", "the release was paused", false},
    {"batch.resumed", "the release went on", true},
    {"batch.ring", "a ring began", false},
    {"batch.done", "the release was through", false},
    {"batch.waiting", "nobody had looked: a reminder was sent", false},
    {"batch.imported", "mail was brought back into the batch", false},
    {"hold.set", "the panic button was pressed", false},
};

static void
count_decider(struct timeline *t, const char *who)
{
	struct story_facts *f = t->f;
	size_t len = strcspn(who, "("), i;

	for (i = 0; i < f->deciders; i++)
		if (strlen(t->deciders[i]) == len && strncmp(t->deciders[i], who, len) == 0)
			return;
	if (f->deciders < STORY_PEOPLE_MAX)
		t->deciders[f->deciders++] = mem_printf("%.*s", (int)len, who);
}

static void
note_decision(struct timeline *t, const struct store_audit *a)
{
	struct story_facts *f = t->f;

	f->restores += strcmp(a->action, "batch.restored") == 0;
	f->pauses += strcmp(a->action, "batch.paused") == 0;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (!actions[i].decision || strcmp(actions[i].action, a->action) != 0 ||
		    strcmp(a->who, "gate") == 0)
			continue;
		f->decisions++;
		if (f->decided_at == 0)
			f->decided_at = a->at;
		f->last_decided_at = a->at;
		count_decider(t, a->who);
	}
}

/* True for what says nothing in a review: inner numbers, who asked by name, counts that are 0 or
 * did not change. */
static bool
is_noise(const char *word, size_t len)
{
	static const char *const noise[] = {"plan=", "asked_by="};
	static const char *const nothing[] = {"sent=0", "failed=0", "deferred=0", "refused=0"};
	const char *value = memchr(word, '=', len), *arrow = NULL;
	size_t i, half;

	for (i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
		if (len > strlen(noise[i]) && memcmp(word, noise[i], strlen(noise[i])) == 0)
			return true;
	for (i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		if (len == strlen(nothing[i]) && memcmp(word, nothing[i], len) == 0)
			return true;
	if (value != NULL)
		arrow = memmem(value, len - (size_t)(value - word), "->", 2);
	if (arrow == NULL)
		return false;
	half = (size_t)(arrow - value - 1);
	return len == (size_t)(arrow - word) + 2 + half && memcmp(value + 1, arrow + 2, half) == 0;
}

/* The words of an audit row's detail that a review can use; for free(). */
static char *
tell_detail(const char *detail)
{
	char *told = mem_zalloc(strlen(detail) + 1), *to = told;
	size_t len;

	for (; *detail != '\0'; detail += len) {
		detail += strspn(detail, " ");
		len = strcspn(detail, " ");
		if (len == 0 || is_noise(detail, len))
			continue;
		if (to > told)
			*to++ = ' ';
		memcpy(to, detail, len);
		to += len;
	}
	return told;
}

static bool
add_audit(void *context, const struct store_audit *a)
{
	struct timeline *t = context;
	const char *phrase = a->action;
	char *told, *detail;

	if (strcmp(a->action, "batch.opened") == 0) {
		t->f->tripped_at = a->at;
		return true;
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].action, a->action) == 0)
			phrase = actions[i].text;
	note_decision(t, a);
	told = tell_detail(a->detail);
	detail = story_mask_text(told);
	free(told);
	add_moment(t, a->at, a->action, a->who,
		   mem_printf("%s%s%s%s", phrase, detail[0] != '\0' ? " (" : "", detail,
			      detail[0] != '\0' ? ")" : ""),
		   a->reason);
	free(detail);
	return true;
}

/* ---- its alerts */

static bool
add_alert(void *context, const struct store_alert_fate *a)
{
	struct timeline *t = context;
	struct story_facts *f = t->f;
	char took[UNITS_BYTES];

	if (a->channel[0] == '\0') /* no channel wants it, or there is none */
		return true;
	f->alerts++;
	switch (a->fate) {
	case STORE_FATE_DELIVERED:
		f->alerts_delivered++;
		if (f->alerted_at == 0 || a->done_at < f->alerted_at)
			f->alerted_at = a->done_at;
		add_moment(t, a->done_at, "alert.delivered", "gate",
			   mem_printf("alert %s was delivered to channel %s, %s after it was due",
				      a->event, a->channel,
				      units_format_duration(
					  a->done_at > a->at ? a->done_at - a->at : 0, took)),
			   "");
		break;
	case STORE_FATE_FAILED:
		f->alerts_failed++;
		if (f->alert_error == NULL)
			f->alert_error = mem_strdup(a->error);
		add_moment(t, a->done_at != 0 ? a->done_at : a->at, "alert.failed", "gate",
			   mem_printf("alert %s to channel %s was given up after %u tries: %s",
				      a->event, a->channel, (unsigned)a->tries, a->error),
			   "");
		break;
	case STORE_FATE_PENDING:
		add_moment(t, a->at, "alert.pending", "gate",
			   mem_printf("alert %s to channel %s is not delivered yet (%u tries so "
				      "far)",
				      a->event, a->channel, (unsigned)a->tries),
			   "");
		break;
	case STORE_FATE_UNWANTED:
		break;
	}
	return true;
}

/* ---- the batch itself */

static void
add_own(struct timeline *t)
{
	const struct story_facts *f = t->f;
	char rate[UNITS_BYTES] = "";

	if (f->first_at != 0)
		add_moment(t, f->first_at, "first", "gate",
			   mem_strdup("the first message of this batch came in"), "");
	if (f->limit != 0)
		units_format_rate(f->limit, f->window, rate);
	if (strcmp(f->rule, "restored") == 0 || strcmp(f->rule, "imported") == 0)
		add_moment(t, f->tripped_at, "batch.opened", "gate",
			   mem_strdup("the batch was made for mail that was brought back"), "");
	else
		add_moment(
		    t, f->tripped_at, "batch.opened", "gate",
		    mem_printf("%s tripped%s%s%s: from here on the stream was held; %s had left "
			       "before",
			       f->rule, rate[0] != '\0' ? " (more than " : "", rate,
			       rate[0] != '\0' ? ")" : "",
			       story_counted(f->leaked, "recipient", "recipients")),
		    "");
	if (f->seen_at != 0)
		add_moment(t, f->seen_at, "seen", f->seen_by,
			   mem_strdup(f->look_unknown ? "looked at the batch"
						      : "looked at the batch for the first time"),
			   "");
	if (f->last_at != 0)
		add_moment(t, f->last_at, "last", "gate",
			   mem_strdup("the last message of this batch came in"), "");
}

static int
compare_moments(const void *left, const void *right)
{
	const struct moment *a = left, *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->number < b->number ? -1 : 1;
}

json_t *
story_timeline(struct story_facts *f, struct store_view *view, enum store_result *result)
{
	struct timeline t = {.f = f};
	json_t *array = json_make_array();
	char object[JSON_BATCH_BYTES];

	*result = store_view_audit(view, 0, AUDIT_ROWS_MAX, AUDIT_ROWS_MAX,
				   json_batch_id(f->id, object), add_audit, &t);
	if (*result == STORE_OK)
		*result = store_view_alert_fates(view, f->id, ALERTS_MAX, add_alert, &t);
	f->look_unknown =
	    f->pauses > 0 && f->decided_at != 0 && (f->seen_at == 0 || f->seen_at > f->decided_at);
	add_own(&t);
	qsort(t.moments, t.count, sizeof(*t.moments), compare_moments);
	for (size_t i = 0; i < t.count; i++)
		json_append(array, t.moments[i].entry);
	for (size_t i = 0; i < f->deciders; i++)
		free(t.deciders[i]);
	free(t.moments);
	return array;
}
