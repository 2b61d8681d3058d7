/*
 * Opening and closing the store, its names, and what others ask of it without a job. Main thread,
 * but for store_has_room() and the names. The caller of store_open() closes it.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/plan_ring.h"
#include "store/recall.h"
#include "store/writer.h"

/* What of one release is queued at once: a second or two of a fast relay. */
enum { FEED_AHEAD = 5000 };

static const char *const state_names[STORE_STATE_COUNT] = {
    "queued", "waiting", "held", "dropped", "sent", "failed", "discarded"};
static const char *const plan_state_names[STORE_PLAN_STATE_COUNT] = {"none",   "asked", "running",
								     "paused", "done",  "ended"};
static const char *const batch_state_names[STORE_BATCH_STATE_COUNT] = {
    "held", "releasing", "paused", "released", "discarded"};

const char *
store_state_name(enum store_state s)
{
	return s >= 0 && s < STORE_STATE_COUNT ? state_names[s] : "unknown";
}

const char *
store_batch_state_name(enum store_batch_state s)
{
	return s >= 0 && s < STORE_BATCH_STATE_COUNT ? batch_state_names[s] : "unknown";
}

const char *
store_plan_state_name(enum store_plan_state s)
{
	return s >= 0 && s < STORE_PLAN_STATE_COUNT ? plan_state_names[s] : "unknown";
}

static bool
find_name(const char *const *names, int count, const char *text, int *out)
{
	for (*out = 0; *out < count; (*out)++)
		if (strcmp(names[*out], text) == 0)
			return true;
	return false;
}

bool
store_state_parse(const char *text, enum store_state *out)
{
	int i;

	if (!find_name(state_names, STORE_STATE_COUNT, text, &i))
		return false;
	*out = (enum store_state)i;
	return true;
}

bool
store_batch_state_parse(const char *text, enum store_batch_state *out)
{
	int i;

	if (!find_name(batch_state_names, STORE_BATCH_STATE_COUNT, text, &i))
		return false;
	*out = (enum store_batch_state)i;
	return true;
}

bool
store_batch_parse(const char *text, int64_t *id)
{
	int64_t n = 0;

	if (*text != 'B' && *text != 'b')
		return false;
	for (text++; *text >= '0' && *text <= '9'; text++) {
		if (n > (INT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (*text - '0');
	}
	if (*text != '\0' || n == 0)
		return false;
	*id = n;
	return true;
}

/* ---- opening ---- */

/* The name is made once: 64 random bits (base/id.h). */
static enum store_result
name_store(struct store *s, uint64_t *name, uint64_t *highest)
{
	const struct backend *b = s->b;
	int64_t value = 0;
	enum store_result r = b->meta_get(s->work.db, "store_name", &value);

	if (r == STORE_MISSING) {
		while (value == 0)
			if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
				fatal("no random numbers from the system: %s", strerror(errno));
		r = b->meta_set(s->work.db, "store_name", value);
	}
	TRY(r);
	*name = (uint64_t)value;
	value = 0;
	r = b->meta_get(s->work.db, "last_id", &value);
	*highest = (uint64_t)value;
	return r == STORE_MISSING ? STORE_OK : r;
}

/*
 * As long as the machine runs, clock_steady() goes on where it was, whatever became of the wall
 * clock meanwhile: what waits is due by it. A machine that starts with its clock set back, or
 * without one, goes on from the newest message: what was due then would wait for years.
 */
static enum store_result
keep_steady(struct store *s, uint64_t highest)
{
	const int64_t newest = work_time_of(highest);
	const struct backend *b = s->b;
	char boot[CLOCK_BOOT_BYTES];
	int64_t known = 0, offset = 0, now;
	enum store_result r;

	clock_boot_id(boot);
	now = (int64_t)text_hash(TEXT_HASH_START, boot, strlen(boot));
	r = b->meta_get(s->work.db, "boot", &known);
	if (r == STORE_OK && known == now && *boot != '\0')
		r = b->meta_get(s->work.db, "steady_offset", &offset);
	else if (r == STORE_OK)
		r = STORE_MISSING;
	if (r == STORE_OK)
		clock_set_steady_offset(offset);
	if (r != STORE_MISSING)
		return r;
	if (clock_steady() < newest)
		clock_set_steady_offset(newest - clock_mono());
	TRY(b->meta_set(s->work.db, "boot", now));
	return b->meta_set(s->work.db, "steady_offset", clock_steady_offset());
}

static enum store_result
recover(struct store *s)
{
	uint64_t name = 0, highest = 0;
	enum store_result r = s->b->begin(s->work.db, true);

	TRY(r);
	r = name_store(s, &name, &highest);
	if (r == STORE_OK)
		r = keep_steady(s, highest);
	if (r == STORE_OK)
		r = recall_recover(&s->work);
	if (r == STORE_OK)
		r = plan_recover(&s->work);
	if (r == STORE_OK)
		r = s->b->recover(s->work.db, clock_steady());
	if (r == STORE_OK)
		r = chain_open(&s->work, clock_wall());
	work_drop_job(&s->work);
	if (r == STORE_OK)
		r = s->b->commit(s->work.db);
	if (r != STORE_OK) {
		s->b->rollback(s->work.db);
		return r;
	}
	chain_committed(&s->work);
	s->work.highest_id = s->work.highest_id_written = highest;
	id_init(name, highest);
	return STORE_OK;
}

static bool
open_connections(struct store *s, const char *path, struct buf *error)
{
	s->work.db = s->b->open(path, error);
	if (s->work.db == NULL)
		return false;
	if (recover(s) != STORE_OK) {
		buf_printf(error,
			   "cannot use the store %s: %s; see that its disk has space and works, "
			   "or put a copy that `mailfuse backup` made in its place; `sqlite3 FILE "
			   ".recover` saves what can still be read of it",
			   path, s->work.db->error);
	} else {
		s->reader = s->b->open_reader(s->work.db, error);
		if (s->reader != NULL)
			return true;
	}
	s->b->close(s->work.db);
	return false;
}

struct store *
store_open_backend(const struct backend *b, const struct store_options *options, struct buf *error)
{
	struct store *s = mem_zalloc(sizeof(*s));

	s->b = s->work.b = b;
	s->work.counters = options->counters;
	s->work.feed_ahead = options->feed_ahead > 0 ? options->feed_ahead : FEED_AHEAD;
	store_set_limits(s, options->size_limit, options->min_free_space);
	copier_init(&s->copier);
	if (!open_connections(s, options->path, error)) {
		free(s);
		return NULL;
	}
	room_measure(s);
	writer_start(s);
	return s;
}

struct store *
store_open(const struct store_options *options, struct buf *error)
{
	bool memory = strcmp(options->path, "memory:") == 0;

	return store_open_backend(memory ? &backend_memory : &backend_sqlite, options, error);
}

void
store_close(struct store *s)
{
	if (s == NULL)
		return;
	copier_end(&s->copier);
	writer_stop(s);
	work_free(&s->work);
	s->b->close(s->reader);
	s->b->close(s->work.db);
	free(s);
}

/* ---- freeing ---- */

void
store_due_free(struct store_due *due, size_t count)
{
	size_t i, k;

	for (i = 0; i < count; i++) {
		for (k = 0; k < due[i].count; k++) {
			free(due[i].deliveries[k].address);
			free(due[i].deliveries[k].orcpt);
			free(due[i].deliveries[k].keys);
		}
		free(due[i].deliveries);
		free(due[i].environment);
		free(due[i].source);
	}
	free(due);
}

void
store_notices_free(struct store_notice *notices, size_t count)
{
	size_t i, k;

	for (i = 0; i < count; i++) {
		for (k = 0; k < notices[i].count; k++) {
			struct store_notice_delivery *d = &notices[i].deliveries[k];

			free(d->recipient);
			free(d->final);
			free(d->orcpt);
			free(d->reply);
			free(d->remote_mta);
		}
		free(notices[i].deliveries);
		free(notices[i].environment);
		free(notices[i].source);
		free(notices[i].sender);
		free(notices[i].envid);
		buf_free(&notices[i].header);
	}
	free(notices);
}

bool
store_is_alert_mail(const char *environment)
{
	return strncmp(environment, STORE_ALERTS_PREFIX, strlen(STORE_ALERTS_PREFIX)) == 0;
}

void
store_alerts_free(struct store_alert *alerts, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free(alerts[i].event);
		free(alerts[i].channel);
		free(alerts[i].environment);
		free(alerts[i].text);
		free(alerts[i].who);
		free(alerts[i].reason);
	}
	free(alerts);
}
