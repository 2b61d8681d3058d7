/*
 * What a story is told from, and its two parts that have files of their own. Main loop; owned by
 * story_get().
 */
#ifndef CONTROL_STORY_FACTS_H
#define CONTROL_STORY_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/story_mask.h"
#include "store/views.h"

struct story_facts {
	int64_t id;
	enum store_batch_state state;
	char *environment, *rule, *seen_by;
	bool production, known; /* of the environment: in the configuration in force */
	uint32_t limit;
	int64_t window;
	uint64_t messages, recipients, distinct, leaked, held, released, sent, failed, discarded;
	uint64_t peak_second, peak_minute; /* recipients */
	int64_t peak_second_at, peak_minute_at;
	size_t domains; /* different ones; at most as many as are told */
	uint64_t alerts, alerts_delivered, alerts_failed;
	char *alert_error; /* of one that failed; NULL if none did */
	/* Wall clock; 0 = it never was. */
	int64_t first_at, tripped_at, last_at, alerted_at, seen_at, decided_at, last_decided_at;
	/* A pause asks for a new look, and the store keeps the last one only. */
	bool look_unknown;
	unsigned decisions, restores, pauses;
	uint64_t approve_above; /* of the configuration; 0 = never */
	struct story_people people;
	size_t deciders; /* different people who decided */
};

/* Alerts, looks, decisions and what happened besides, in the order of time; an array. Fills in
 * what it learns of alerts and decisions. NULL where the store cannot answer, with why. */
json_t *story_timeline(struct story_facts *f, struct store_view *view, enum store_result *result);
/* What is worth asking in the review; an array of sentences that name nobody. */
json_t *story_questions(const struct story_facts *f);

/* "1 recipient", "12 recipients"; good until the fourth call from here. */
const char *story_counted(uint64_t n, const char *one, const char *many);

#endif
