/*
 * GET /v1/batches/B17/story. Reads the batch, its mail, alerts and audit rows through the main
 * thread's view, and hands out what may be shown around. Called by api.c; main loop.
 */
#include "control/story.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"
#include "control/story_facts.h"

enum { TOP = 10, SAMPLES = 5, SAMPLE_ROWS = 1000 };

struct story {
	struct story_facts facts;
	json_t *answer;
	bool found;
};

/* ---- the batch */

static void
put_masked(json_t *o, const char *key, char *masked)
{
	json_put_text(o, key, masked);
	free(masked);
}

static bool
take_batch(void *context, const struct store_batch *b)
{
	struct story *s = context;
	struct story_facts *f = &s->facts;
	char id[JSON_BATCH_BYTES];

	s->found = true;
	f->id = b->id;
	f->state = b->state;
	f->environment = mem_strdup(b->environment);
	f->rule = mem_strdup(b->rule);
	f->seen_by = mem_strdup(b->seen_by != NULL ? b->seen_by : "");
	f->limit = b->limit;
	f->window = b->window;
	f->messages = b->messages;
	f->recipients = b->recipients;
	f->distinct = b->distinct;
	f->leaked = b->leaked;
	f->held = b->held;
	f->released = b->released;
	f->sent = b->sent;
	f->failed = b->failed;
	f->discarded = b->discarded;
	f->tripped_at = b->opened_at;
	f->last_at = b->last_at;
	f->seen_at = b->seen_at;
	json_put_text(s->answer, "batch", json_batch_id(b->id, id));
	json_put_text(s->answer, "state", store_batch_state_name(b->state));
	json_put_text(s->answer, "environment", b->environment);
	json_put_text(s->answer, "rule", b->rule);
	put_masked(s->answer, "key", story_mask_text(b->key));
	put_masked(s->answer, "source", story_mask_text(b->source));
	put_masked(s->answer, "sender", story_mask_address(b->sender));
	put_masked(s->answer, "subject", story_mask_subject(b->subject, NULL));
	return true;
}

static json_t *
json_from_counts(const struct story_facts *f)
{
	json_t *o = json_make_object();

	json_put_count(o, "messages", f->messages);
	json_put_count(o, "recipients", f->recipients);
	json_put_count(o, "distinct_recipients", f->distinct);
	json_put_bool(o, "sampled", f->recipients > STORE_EXACT_MAX);
	json_put_count(o, "leaked", f->leaked);
	json_put_count(o, "held", f->held);
	json_put_count(o, "released", f->released);
	json_put_count(o, "sent", f->sent);
	json_put_count(o, "failed", f->failed);
	json_put_count(o, "discarded", f->discarded);
	return o;
}

static json_t *
json_from_rates(const struct story_facts *f)
{
	json_t *o = json_make_object();

	json_put_count(o, "limit", f->limit);
	json_put_count(o, "window", (uint64_t)(f->window / CLOCK_SECOND));
	json_put_count(o, "peak_second", f->peak_second);
	json_put_time(o, "peak_second_at", f->peak_second_at);
	json_put_count(o, "peak_minute", f->peak_minute);
	json_put_time(o, "peak_minute_at", f->peak_minute_at);
	return o;
}

/* Seconds from the first message, or null. */
static void
put_after(json_t *o, const char *key, int64_t from, int64_t at)
{
	json_put(o, key,
		 at == 0 || from == 0
		     ? json_null()
		     : json_real((double)(at > from ? at - from : 0) / (double)CLOCK_SECOND));
}

static json_t *
json_from_times(const struct story_facts *f)
{
	json_t *o = json_make_object();

	json_put_time(o, "first_message_at", f->first_at);
	json_put_time(o, "tripped_at", f->tripped_at);
	json_put_time(o, "alerted_at", f->alerted_at);
	json_put_time(o, "seen_at", f->seen_at);
	json_put_time(o, "decided_at", f->decided_at);
	json_put_time(o, "last_decided_at", f->last_decided_at);
	json_put_time(o, "last_message_at", f->last_at);
	put_after(o, "to_trip", f->first_at, f->tripped_at);
	put_after(o, "to_alert", f->first_at, f->alerted_at);
	put_after(o, "to_look", f->first_at, f->look_unknown ? 0 : f->seen_at);
	put_after(o, "to_decision", f->first_at, f->decided_at);
	return o;
}

/* ---- its mail */

struct samples {
	json_t *items;
	const struct story_names *names;
	uint64_t last;
};

struct subjects {
	json_t *items;
	const struct story_names *names;
};

/* What is known of the mail before any of it is told. */
struct look {
	struct story_names names;
	int64_t first_at;
};

static bool
look_at(void *context, const struct store_delivery *d)
{
	struct look *look = context;

	if (look->first_at == 0 || d->accepted_at < look->first_at)
		look->first_at = d->accepted_at;
	story_names_add(&look->names, d->recipient);
	return true;
}

static bool
add_sample(void *context, const struct store_delivery *d)
{
	struct samples *s = context;
	json_t *o;

	if (d->id == s->last)
		return true;
	s->last = d->id;
	o = json_make_object();
	json_put_time(o, "at", d->accepted_at);
	put_masked(o, "sender", story_mask_address(d->sender));
	put_masked(o, "recipient", story_mask_address(d->recipient));
	put_masked(o, "subject", story_mask_subject(d->subject, s->names));
	json_put_count(o, "bytes", d->bytes);
	json_append(s->items, o);
	return json_array_size(s->items) < SAMPLES;
}

/* Subjects that differ in what is masked only are one. */
static bool
add_subject(void *context, const char *value, uint64_t count)
{
	const struct subjects *s = context;
	char *masked = story_mask_subject(value, s->names);
	json_t *list = s->items, *o;
	size_t i;

	json_array_foreach(list, i, o)
	{
		if (strcmp(json_string_value(json_object_get(o, "value")), masked) != 0)
			continue;
		count += (uint64_t)json_integer_value(json_object_get(o, "count"));
		json_put_count(o, "count", count);
		free(masked);
		return true;
	}
	if (json_array_size(list) < TOP)
		json_add_counted(list, masked, count);
	free(masked);
	return true;
}

struct peaks {
	struct story_facts *f;
	int64_t minute; /* that is being summed up */
	uint64_t count;
};

/* Second by second, in order. */
static bool
see_arrivals(void *context, int64_t at, uint64_t count)
{
	struct peaks *p = context;
	struct story_facts *f = p->f;

	if (count > f->peak_second) {
		f->peak_second = count;
		f->peak_second_at = at;
	}
	if (at / CLOCK_MINUTE != p->minute)
		p->count = 0;
	p->minute = at / CLOCK_MINUTE;
	p->count += count;
	if (p->count > f->peak_minute) {
		f->peak_minute = p->count;
		f->peak_minute_at = p->minute * CLOCK_MINUTE;
	}
	return true;
}

static enum store_result
put_mail(struct store_view *view, struct story *s)
{
	struct story_facts *f = &s->facts;
	const struct store_filter filter = {.batch = f->id, .state = -1, .limit = SAMPLE_ROWS};
	struct look look = {.first_at = 0};
	struct samples samples = {.items = json_make_array(), .names = &look.names};
	struct subjects list = {.items = json_make_array(), .names = &look.names};
	struct peaks peaks = {.f = f, .minute = -1};
	json_t *domains = json_make_array();
	enum store_result r;

	json_put(s->answer, "samples", samples.items);
	json_put(s->answer, "domains", domains);
	json_put(s->answer, "subjects", list.items);
	r = store_view_deliveries(view, &filter, look_at, &look);
	if (r == STORE_OK)
		r = store_view_deliveries(view, &filter, add_sample, &samples);
	if (r == STORE_OK)
		r = store_view_top(view, f->id, "domain", TOP, json_add_counted, domains);
	if (r == STORE_OK)
		r = store_view_top(view, f->id, "subject", 10 * TOP, add_subject, &list);
	if (r == STORE_OK)
		r = store_view_arrivals(view, f->id, CLOCK_SECOND, see_arrivals, &peaks);
	f->first_at = look.first_at;
	story_names_free(&look.names);
	f->domains = json_array_size(domains);
	return r;
}

/* ---- the call */

static enum store_result
read_story(struct request *r, struct story *s, int64_t id)
{
	const struct config *config = request_config(r);
	const struct config_environment *env;
	struct store_view *view = r->deps->view;
	enum store_result result = store_view_batch(view, id, take_batch, s);

	if (result == STORE_OK && !s->found)
		result = STORE_MISSING;
	if (result != STORE_OK)
		return result;
	env = config_find_environment(config, s->facts.environment);
	s->facts.known = env != NULL;
	s->facts.production = env != NULL && env->production;
	s->facts.approve_above = config->approval.above;
	result = put_mail(view, s);
	if (result == STORE_OK)
		json_put(s->answer, "timeline", story_timeline(&s->facts, view, &result));
	json_put(s->answer, "counts", json_from_counts(&s->facts));
	json_put(s->answer, "rates", json_from_rates(&s->facts));
	json_put(s->answer, "times", json_from_times(&s->facts));
	json_put(s->answer, "questions", story_questions(&s->facts));
	return result;
}

static void
story_free(struct story *s)
{
	free(s->facts.environment);
	free(s->facts.rule);
	free(s->facts.seen_by);
	free(s->facts.alert_error);
	story_people_free(&s->facts.people);
}

void
story_get(struct request *r)
{
	static const char *const known[] = {"names", NULL};
	struct story s = {0};
	enum store_result result;
	char what[80];
	int64_t id;

	if (!request_check_query(r, known))
		return;
	if (!store_batch_parse(r->id, &id)) {
		request_fail(r, 404,
			     "%s is no batch; batches look like B17, and `mailfuse batches "
			     "--all` lists them",
			     log_safe(r->id));
		return;
	}
	s.facts.people.named =
	    request_query(r, "names") != NULL && strcmp(request_query(r, "names"), "1") == 0;
	s.answer = json_make_object();
	result = read_story(r, &s, id);
	story_free(&s);
	if (result == STORE_OK) {
		request_reply(r, s.answer);
		return;
	}
	json_decref(s.answer);
	snprintf(what, sizeof(what), "batch %s", r->id);
	request_fail_store(r, result, what, "");
}
