/*
 * How the channels fare. Owned by the outbox; all on the main loop, freed by states_free(). That
 * the others were told is kept in the store under "alert.failed:NAME", in the transaction that
 * tells.
 */
#include "alert/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alert/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"
#include "store/fact.h"

#define BACKOFF_FIRST CLOCK_SECOND
#define BACKOFF_MAX (5 * CLOCK_MINUTE)

int64_t
state_backoff(unsigned failures, uint64_t seed)
{
	int64_t wait = BACKOFF_MAX;
	uint64_t random = text_hash(TEXT_HASH_START, &seed, sizeof(seed));

	/* 1 s << 9 is beyond 5 min. */
	if (failures <= 9)
		wait = BACKOFF_FIRST << (failures > 0 ? failures - 1 : 0);
	if (wait > BACKOFF_MAX)
		wait = BACKOFF_MAX;
	return wait - wait / 4 + (int64_t)(random % (uint64_t)(wait / 2 + 1));
}

void
states_init(struct states *s, struct store *store, struct store_view *view)
{
	*s = (struct states){
	    .store = store, .view = view, .patience = STATE_PATIENCE, .digest_first = DIGEST_FIRST};
	LIST_INIT(&s->channels);
}

void
states_free(struct states *s)
{
	struct channel *c;

	while ((c = LIST_FIRST(&s->channels)) != NULL) {
		LIST_REMOVE(c, next);
		digest_free(&c->digest);
		free(c->name);
		free(c);
	}
}

static void
key_format(const struct channel *c, char *out, size_t size)
{
	snprintf(out, size, "alert.failed:%s", c->name);
}

struct channel *
state_get(struct states *s, const char *name)
{
	struct channel *c;
	char key[120];
	int64_t told = 0;

	LIST_FOREACH (c, &s->channels, next)
		if (strcmp(c->name, name) == 0)
			return c;
	c = mem_zalloc(sizeof(*c));
	c->name = mem_strdup(name);
	key_format(c, key, sizeof(key));
	c->told = store_view_number(s->view, key, &told) == STORE_OK && told != 0;
	digest_init(&c->digest, s->digest_first);
	LIST_INSERT_HEAD(&s->channels, c, next);
	return c;
}

/* ---- telling the others */

static void
tell(struct states *s, struct channel *c, const char *event, const char *reason, const char *text)
{
	char key[120], environment[120];

	key_format(c, key, sizeof(key));
	snprintf(environment, sizeof(environment), "%s%s", CONFIG_ALERTS, c->name);
	c->told = strcmp(event, "alert.failed") == 0;
	log_warn("- %s channel=%s why=%s", event, c->name, log_safe(reason));
	fact_tell(s->store, &(struct fact){.event = event,
					   .environment = environment,
					   .object = c->name,
					   .reason = reason,
					   .text = text,
					   .alert = true,
					   .keep = key,
					   .number = c->told ? clock_wall() : 0});
}

static void
tell_failed(struct states *s, struct channel *c, const char *how)
{
	char *text;

	if (c->told)
		return;
	text = mem_printf("alerts on channel %s do not arrive, %s: %s. Look at it with: mailfuse "
			  "alert test %s",
			  c->name, how, c->why, c->name);
	tell(s, c, "alert.failed", c->why, text);
	free(text);
}

void
state_fine(struct states *s, struct channel *c)
{
	char *text;

	c->failures = 0;
	c->quiet_until = 0;
	c->failing_since = 0;
	if (!c->told)
		return;
	text = mem_printf("alerts on channel %s arrive again", c->name);
	tell(s, c, "alert.recovered", "", text);
	free(text);
}

static void
tell_if_due(struct states *s, struct channel *c)
{
	char span[UNITS_BYTES], how[UNITS_BYTES + 16];
	int64_t since = c->failing_since != 0 ? clock_mono() - c->failing_since : 0;

	if (c->told || c->failing_since == 0 || since < s->patience)
		return;
	snprintf(how, sizeof(how), "for %s now",
		 units_format_duration(since / CLOCK_SECOND * CLOCK_SECOND, span));
	tell_failed(s, c, how);
}

int64_t
state_failed(struct states *s, struct channel *c, const struct channel_end *end)
{
	int64_t wait;

	snprintf(c->why, sizeof(c->why), "%s", end->why);
	c->failures++;
	if (c->failing_since == 0)
		c->failing_since = clock_mono();
	wait = state_backoff(c->failures, (uint64_t)clock_wall());
	if (wait < end->leave)
		wait = end->leave;
	c->quiet_until = clock_mono() + wait;
	tell_if_due(s, c);
	return wait;
}

void
state_gave_up(struct states *s, struct channel *c, const char *why)
{
	if (why != c->why) /* the caller may mean the last failure */
		snprintf(c->why, sizeof(c->why), "%s", why);
	tell_failed(s, c, "and one was given up");
}

void
state_tick(struct states *s, const struct config *config)
{
	struct channel *c;

	LIST_FOREACH (c, &s->channels, next) {
		if (channel_find(config, c->name) == NULL)
			c->failing_since = 0; /* one of that name may come back */
		tell_if_due(s, c);
	}
}

void
state_forgive(struct states *s)
{
	struct channel *c;

	LIST_FOREACH (c, &s->channels, next) {
		c->failures = 0;
		c->quiet_until = 0;
	}
}
