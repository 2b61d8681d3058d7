/*
 * Limits out of what was seen. Called by run.c. Each rule has a table of keys and a histogram of
 * its samples; what is idle goes when there are too many keys.
 */
#include "simulate/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

enum {
	EXACT_BITS = 10, /* samples below 2^10 are counted one by one, others to one in 512 */
	HALF = 1 << (EXACT_BITS - 1),
	BUCKETS = (64 - EXACT_BITS + 2) * HALF
};

struct suggest_key {
	UT_hash_handle hh;
	uint64_t hash;
	int64_t slice;                       /* of the newest arrival */
	uint32_t counts[SUGGEST_SLICES + 1]; /* by slice modulo their number */
};

struct suggest_rule {
	const struct config_environment *environment;
	const struct config_burst *burst;
	struct suggest_key *keys;
	uint64_t *buckets; /* samples by size; NULL before the first */
	uint64_t samples, busiest, key_total, missed;
	int64_t swept; /* slice of the last sweep; -1 = none */
	char *why;
};

struct suggest {
	struct suggest_rule *rules;
	size_t rule_count;
	size_t keys; /* of all rules */
};

struct suggest *
suggest_new(const struct config *config)
{
	struct suggest *s = mem_zalloc(sizeof(*s));
	size_t i, j;

	for (i = 0; i < config->environment_count; i++) {
		const struct config_environment *e = &config->environments[i];

		for (j = 0; j < e->burst_count && strcmp(e->name, "unknown") != 0; j++) {
			s->rules = mem_resize_array(s->rules, s->rule_count + 1, sizeof(*s->rules));
			s->rules[s->rule_count++] = (struct suggest_rule){
			    .environment = e, .burst = &e->bursts[j], .swept = -1};
		}
	}
	return s;
}

static void
key_free(struct suggest *s, struct suggest_rule *r, struct suggest_key *k)
{
	HASH_DEL(r->keys, k);
	free(k);
	s->keys--;
}

void
suggest_free(struct suggest *s)
{
	struct suggest_key *k, *next;
	size_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->rule_count; i++) {
		HASH_ITER(hh, s->rules[i].keys, k, next)
		key_free(s, &s->rules[i], k);
		free(s->rules[i].buckets);
		free(s->rules[i].why);
	}
	free(s->rules);
	free(s);
}

/* Where samples of n are counted: as a float of EXACT_BITS bits. */
static size_t
bucket_of(uint64_t n)
{
	unsigned shift = 0;

	while (n >> shift >= 2 * HALF)
		shift++;
	return shift == 0 ? (size_t)n : (size_t)shift * HALF + (size_t)(n >> shift);
}

/* The largest n of a bucket. */
static uint64_t
bucket_top(size_t bucket)
{
	unsigned shift;

	if (bucket < 2 * HALF)
		return bucket;
	shift = (unsigned)(bucket / HALF) - 1;
	return (((uint64_t)(bucket - (size_t)shift * HALF) + 1) << shift) - 1;
}

static void
take_sample(struct suggest_rule *r, const struct suggest_key *k)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i <= SUGGEST_SLICES; i++)
		sum += k->counts[i];
	if (r->buckets == NULL)
		r->buckets = mem_zalloc(BUCKETS * sizeof(*r->buckets));
	r->buckets[bucket_of(sum)]++;
	r->samples++;
	if (sum > r->busiest)
		r->busiest = sum;
}

/* Ends the newest slice of a key and clears those that no longer count at `slice`. */
static void
key_move(struct suggest_rule *r, struct suggest_key *k, int64_t slice)
{
	int64_t i;

	take_sample(r, k);
	if (slice - k->slice > SUGGEST_SLICES)
		memset(k->counts, 0, sizeof(k->counts));
	for (i = k->slice + 1; i <= slice && i <= k->slice + SUGGEST_SLICES + 1; i++)
		k->counts[i % (SUGGEST_SLICES + 1)] = 0;
	k->slice = slice;
}

/* Takes the samples of keys that have gone quiet. O(keys of the rule), once a slice. */
static void
rule_sweep(struct suggest *s, struct suggest_rule *r, int64_t slice)
{
	struct suggest_key *k, *next;

	if (r->swept == slice)
		return;
	r->swept = slice;
	HASH_ITER(hh, r->keys, k, next)
	{
		if (slice - k->slice <= SUGGEST_SLICES)
			continue;
		take_sample(r, k);
		key_free(s, r, k);
	}
}

static void
rule_count(struct suggest *s, struct suggest_rule *r, uint64_t hash, int64_t at)
{
	int64_t width = (r->burst->window + SUGGEST_SLICES - 1) / SUGGEST_SLICES;
	int64_t slice = at / width;
	struct suggest_key *k;

	HASH_FIND(hh, r->keys, &hash, sizeof(hash), k);
	if (k == NULL && s->keys >= SUGGEST_KEYS_MAX)
		rule_sweep(s, r, slice);
	if (k == NULL && s->keys >= SUGGEST_KEYS_MAX) {
		r->missed++;
		return;
	}
	if (k == NULL) {
		k = mem_zalloc(sizeof(*k));
		k->hash = hash;
		k->slice = slice;
		HASH_ADD(hh, r->keys, hash, sizeof(k->hash), k);
		s->keys++;
		r->key_total++;
	} else if (slice > k->slice) {
		key_move(r, k, slice);
	}
	if (k->counts[slice % (SUGGEST_SLICES + 1)] < UINT32_MAX)
		k->counts[slice % (SUGGEST_SLICES + 1)]++;
}

static uint64_t
hash_text(uint64_t hash, const char *text)
{
	return text_hash(hash, text, strlen(text) + 1);
}

/* As the counters tell keys apart; the rule is in the table, not in the hash. */
static uint64_t
hash_key(unsigned per, const struct message *m, const struct recipient *to)
{
	uint64_t hash = TEXT_HASH_START;

	if (per & CONFIG_PER_SOURCE)
		hash = hash_text(hash, m->source);
	if (per & CONFIG_PER_SENDER)
		hash = hash_text(hash, m->sender.text);
	if (per & CONFIG_PER_SUBJECT)
		hash = hash_text(hash, m->subject_key);
	if (per & CONFIG_PER_CAMPAIGN)
		hash = hash_text(hash, m->campaign);
	if (per & CONFIG_PER_RECIPIENT)
		hash = hash_text(hash, to->final);
	return hash;
}

/* Burst rules count what the recipients filter let through, whatever came of it then. */
static bool
is_counted(const struct recipient *to)
{
	const struct verdict *v = &to->verdict;

	if (v->action == VERDICT_PASS || v->action == VERDICT_WAIT)
		return true;
	return v->action == VERDICT_HOLD && v->rule != NULL &&
	       (strncmp(v->rule, "burst ", 6) == 0 || strncmp(v->rule, "content ", 8) == 0 ||
		strcmp(v->rule, "audience") == 0);
}

void
suggest_count(struct suggest *s, const struct config_environment *e, const struct message *m,
	      int64_t at)
{
	size_t i, j;

	for (i = 0; i < s->rule_count; i++) {
		struct suggest_rule *r = &s->rules[i];

		if (r->environment != e)
			continue;
		/* Such mail is counted against another limit. */
		if (m->audience > 0 && m->audience <= r->burst->declared)
			continue;
		for (j = 0; j < m->recipient_count; j++) {
			const struct recipient *to = &m->recipients[j];

			if (is_counted(to))
				rule_count(s, r, hash_key(r->burst->per, m, to), at);
		}
	}
}

void
suggest_end(struct suggest *s)
{
	struct suggest_key *k, *next;
	size_t i;

	for (i = 0; i < s->rule_count; i++) {
		struct suggest_rule *r = &s->rules[i];

		HASH_ITER(hh, r->keys, k, next)
		{
			take_sample(r, k);
			key_free(s, r, k);
		}
	}
}

uint32_t
suggest_round(uint64_t n)
{
	static const uint64_t steps[] = {10, 20, 25, 50};
	uint64_t unit = 1;
	size_t i;

	for (;; unit *= 10) {
		for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			if (steps[i] * unit % 10 == 0 && steps[i] * unit / 10 >= n)
				return (uint32_t)(steps[i] * unit / 10);
			/* The largest limit that a configuration takes. */
			if (steps[i] * unit / 10 >= UINT64_C(2500000000))
				return UINT32_C(4000000000);
		}
	}
}

/* What 99.9 % of the samples do not exceed. */
static uint64_t
rule_percentile(const struct suggest_rule *r)
{
	uint64_t rank = (r->samples * 999 + 999) / 1000, seen = 0;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		seen += r->buckets[i];
		if (seen >= rank)
			break;
	}
	return bucket_top(i) < r->busiest ? bucket_top(i) : r->busiest;
}

static void
explain_limit(struct suggest_rule *r, const struct simulation_suggestion *row)
{
	uint64_t by_percentile = row->percentile * 3, by_busiest = (row->busiest * 3 + 1) / 2;
	char window[UNITS_BYTES], missed[80] = "";

	units_format_duration(row->window, window);
	if (r->missed > 0)
		snprintf(missed, sizeof(missed),
			 "; recipients of further keys, not looked at: %llu",
			 (unsigned long long)r->missed);
	free(r->why);
	r->why =
	    mem_printf("in %s the busiest of its keys (%llu) saw %llu, and 99.9 %% of all "
		       "windows at most %llu; %s, rounded up, is %u%s",
		       window, (unsigned long long)r->key_total, (unsigned long long)row->busiest,
		       (unsigned long long)row->percentile,
		       by_percentile > by_busiest ? "3 times the latter" : "1.5 times the busiest",
		       row->suggested, missed);
}

void
suggest_rows(struct suggest *s, void (*row)(void *context, const struct simulation_suggestion *r),
	     void *context)
{
	size_t i;

	for (i = 0; i < s->rule_count; i++) {
		struct suggest_rule *r = &s->rules[i];
		struct simulation_suggestion out = {.environment = r->environment->name,
						    .limit = r->burst->limit,
						    .window = r->burst->window,
						    .busiest = r->busiest};
		char *name;

		if (r->samples == 0)
			continue;
		out.percentile = rule_percentile(r);
		out.suggested = suggest_round(out.percentile * 3 > (out.busiest * 3 + 1) / 2
						  ? out.percentile * 3
						  : (out.busiest * 3 + 1) / 2);
		explain_limit(r, &out);
		out.why = r->why;
		out.rule = name = mem_printf("burst %s", r->burst->name);
		row(context, &out);
		free(name);
	}
}
