/*
 * The queue manager. One claim job at a time for each upstream; what it brings is dealt to the
 * loops in turn. Made and freed by relay.c.
 *
 * Cost: a claim takes O(due) and nothing is polled but once in IDLE_LOOK; what a loop delivers
 * straight from memory never comes by here.
 */
#include "relay/retry.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/tally.h"
#include "base/units.h"
#include "relay/bounce.h"
#include "relay/health.h"
#include "relay/pauses.h"
#include "relay/upstream.h"

#define FIRST_DELAY CLOCK_MINUTE
#define LAST_DELAY CLOCK_HOUR
#define IDLE_LOOK (10 * CLOCK_SECOND)
#define EXPIRE_EVERY CLOCK_MINUTE /* or sooner, where retry_for is short */

enum { UNDER_WAY_MIN = 10, UNDER_WAY_MAX = 500, CLAIM_MAX = 200 };

/* The claims of one upstream. */
struct route {
	struct loop_post post;
	struct retry *retry;
	char *name;
	struct health *health;
	struct policy *policy; /* of the claim under way */
	const char **environments;
	struct store_job job;
	uint64_t turn; /* of the last claim that was answered, see pauses.h */
	bool claiming; /* the job is under way */
	bool again;    /* a poke came meanwhile */
	struct route *next;
};

struct retry {
	struct relay *relay;
	struct loop_timer *timer;
	int64_t timer_at; /* monotonic; the earliest of what was asked for */
	struct route *routes;
	size_t turn;         /* which loop gets the next message */
	int64_t next_expire; /* monotonic */
	bool stopping;
};

struct expire {
	struct store_job job;
	struct loop_post post;
	struct retry *retry;
	char *environment;
	char reason[160];
};

/* Tests cannot wait for minutes. */
static int64_t
test_delay(void)
{
	const char *ms = getenv("MAILFUSE_TEST_RETRY_MS");
	long value = ms != NULL ? strtol(ms, NULL, 10) : 0;

	return value > 0 ? value * 1000 : 0;
}

static uint32_t
random_number(void)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)clock_mono();
	return random;
}

static int64_t
jitter(int64_t us, uint32_t random)
{
	return us * 3 / 4 + (int64_t)((double)us / 2 * (random / 4294967296.0));
}

int64_t
retry_jitter(int64_t us)
{
	return jitter(us, random_number());
}

int64_t
retry_probe_delay(void)
{
	int64_t test = test_delay();

	return test > 0 ? test : CLOCK_SECOND;
}

void
retry_schedule(struct delivery *d, struct delivery_recipient *r)
{
	const struct config_upstream *u =
	    config_find_upstream(policy_config(d->policy), d->upstream);
	int64_t now = clock_steady(), test = test_delay(), delay = test > 0 ? test : FIRST_DELAY;
	uint32_t tries;

	for (tries = r->tries; tries > 0 && delay < LAST_DELAY; tries--)
		delay *= 2;
	if (d->deferred_at == 0) {
		d->deferred_at = now;
		d->jitter = random_number();
	}
	r->result.due_at =
	    d->deferred_at + jitter(delay < LAST_DELAY ? delay : LAST_DELAY, d->jitter);
	if (u != NULL && now - r->queued_at > u->retry_for)
		r->result.state = STORE_FAILED;
}

/* Several upstreams ask for a look at different times: the earliest stands. */
static void
retry_look_in(struct retry *q, int64_t delay)
{
	int64_t now = clock_mono();

	if (delay < 1000)
		delay = 1000;
	if (q->stopping || now + delay >= q->timer_at)
		return;
	q->timer_at = now + delay;
	loop_timer_set(q->timer, delay);
}

static struct route *
route_find(struct retry *q, const char *name)
{
	struct route *r;

	for (r = q->routes; r != NULL; r = r->next)
		if (strcmp(r->name, name) == 0)
			return r;
	r = mem_zalloc(sizeof(*r));
	r->retry = q;
	r->name = mem_strdup(name);
	r->health = health_find(q->relay->health, name);
	r->next = q->routes;
	q->routes = r;
	return r;
}

struct claimed {
	struct loop_post post;
	struct relay_loop *rl;
	struct store_due *due;
	struct route *route;
	uint64_t turn;
};

static void
route_hand_over(struct loop_post *post)
{
	struct claimed *c = (struct claimed *)post;

	delivery_start_claimed(c->rl, c->due, c->route->name, c->route->health, c->turn);
	free(c);
}

/* The next loop that may have a connection to it. */
static struct relay_loop *
route_choose_loop(struct route *r, const struct config_upstream *u)
{
	struct relay *relay = r->retry->relay;
	size_t usable = u != NULL && u->connections < relay->loop_count ? u->connections : 0;

	if (usable == 0)
		usable = relay->loop_count;
	return &relay->loops[r->retry->turn++ % usable];
}

static void
route_deal(struct route *r)
{
	const struct config_upstream *u = config_find_upstream(policy_config(r->policy), r->name);
	struct store_due *due = r->job.u.claim.due;
	size_t i;

	for (i = 0; i < r->job.u.claim.due_count; i++) {
		struct claimed *c = mem_zalloc(sizeof(*c));

		c->due = mem_alloc(sizeof(*c->due));
		*c->due = due[i]; /* store_due_free(.., 1) of each by its delivery */
		c->route = r;
		c->turn = r->turn;
		c->rl = route_choose_loop(r, u);
		c->post.run = route_hand_over;
		health_claimed(r->health, due[i].count);
		loop_post(c->rl->loop, &c->post);
	}
	free(due);
}

static void
route_claimed(struct loop_post *post)
{
	struct route *r = (struct route *)((char *)post - offsetof(struct route, post));
	struct retry *q = r->retry;
	bool full = r->job.u.claim.due_count > 0;
	int64_t wait = r->job.u.claim.next_due_at - clock_steady();

	r->claiming = false;
	free(r->environments);
	if (r->job.result != STORE_OK) {
		log_warn("- queue.claim-failed upstream=%s error=%s", r->name,
			 log_safe(r->job.error));
		full = false;
	} else if (q->stopping) {
		/* Taken, and so due again after the next start. */
		store_due_free(r->job.u.claim.due, r->job.u.claim.due_count);
	} else {
		route_deal(r);
		if (r->job.u.claim.next_due_at > 0 && !full)
			retry_look_in(q, wait);
	}
	policy_unref(r->policy);
	r->policy = NULL;
	if (full || r->again)
		retry_poke(q);
}

static void
route_job_done(struct store_job *job)
{
	struct route *r = job->context;

	r->turn = pauses_turn(r->retry->relay->pauses);
	loop_post(r->retry->relay->main, &r->post);
}

/* Each keeps a header and a first chunk in memory: no more than memory_limit has room for. */
static size_t
under_way_max(const struct config *config)
{
	uint64_t room = config->memory_limit / CHUNK_BYTES;

	return room < UNDER_WAY_MIN   ? UNDER_WAY_MIN
	       : room < UNDER_WAY_MAX ? (size_t)room
				      : UNDER_WAY_MAX;
}

/* Claims for one upstream, unless it is down, busy enough, or being asked already. */
static void
route_claim(struct retry *q, const struct config *config, const struct config_upstream *u)
{
	struct route *r = route_find(q, u->name);
	size_t i, count = 0, most = under_way_max(config), now = health_under_way(r->health);

	if (r->claiming) {
		r->again = true;
		return;
	}
	r->again = false;
	if (!health_is_up(r->health) || now >= most)
		return;
	r->environments = mem_zalloc(config->environment_count * sizeof(*r->environments));
	for (i = 0; i < config->environment_count; i++) {
		const struct config_environment *e = &config->environments[i];

		if (e->upstream != NULL && strcmp(e->upstream, u->name) == 0)
			r->environments[count++] = e->name;
	}
	if (count == 0) {
		free(r->environments);
		return;
	}
	r->policy = policy_ref(q->relay->policy);
	r->claiming = true;
	r->post.run = route_claimed;
	r->job = (struct store_job){
	    .op = STORE_CLAIM,
	    .done = route_job_done,
	    .context = r,
	    .u.claim = {.environments = r->environments,
			.environment_count = count,
			.now = clock_steady(),
			.limit = most - now < CLAIM_MAX ? (uint32_t)(most - now) : CLAIM_MAX},
	};
	writer_submit(q->relay->store, &r->job);
}

static int64_t
expire_interval(const struct config *config)
{
	int64_t interval = EXPIRE_EVERY;
	size_t i;

	for (i = 0; i < config->upstream_count; i++)
		if (config->upstreams[i].retry_for / 4 < interval)
			interval = config->upstreams[i].retry_for / 4;
	return interval > CLOCK_SECOND ? interval : CLOCK_SECOND;
}

static void
expire_tell(const struct expire *e)
{
	const int64_t n = (int64_t)e->job.u.expire.expired;

	log_warn("- queue.expired environment=%s deliveries=%" PRId64 " reason=%s", e->environment,
		 n, log_safe(e->reason));
	metric_add(METRIC_RECIPIENTS_FAILED, n);
	tally_add(tally_get(e->environment, ""), TALLY_FAILED, n);
}

static void
expire_answered(struct loop_post *post)
{
	struct expire *e = (struct expire *)((char *)post - offsetof(struct expire, post));

	if (e->job.result != STORE_OK)
		log_warn("- queue.expire-failed environment=%s error=%s", e->environment,
			 log_safe(e->job.error));
	else if (e->job.u.expire.expired > 0)
		expire_tell(e);
	if (e->job.result == STORE_OK && e->job.u.expire.paused != 0)
		relay_pause_batch(e->retry->relay, e->job.u.expire.paused);
	if (e->job.u.expire.expired > 0)
		bounce_poke(e->retry->relay->bounce);
	free(e->environment);
	free(e);
}

static void
expire_job_done(struct store_job *job)
{
	struct expire *e = job->context;

	loop_post(e->retry->relay->main, &e->post);
}

/* While an upstream is down nothing is claimed, so what gets too old is found here. */
static void
retry_expire(struct retry *q, const struct config *config)
{
	int64_t now = clock_wall();
	char span[UNITS_BYTES];
	size_t i;

	for (i = 0; i < config->environment_count; i++) {
		const struct config_environment *env = &config->environments[i];
		const struct config_upstream *u =
		    env->upstream != NULL ? config_find_upstream(config, env->upstream) : NULL;
		struct expire *e;

		if (u == NULL)
			continue;
		e = mem_zalloc(sizeof(*e));
		e->retry = q;
		e->environment = mem_strdup(env->name);
		snprintf(e->reason, sizeof(e->reason), "4.4.7 given up after %s without delivery",
			 units_format_duration(u->retry_for, span));
		e->post.run = expire_answered;
		e->job.op = STORE_EXPIRE;
		e->job.done = expire_job_done;
		e->job.context = e;
		e->job.u.expire.environment = e->environment;
		e->job.u.expire.queued_before = clock_steady() - u->retry_for;
		e->job.u.expire.now = now;
		e->job.u.expire.reason = e->reason;
		writer_submit(q->relay->store, &e->job);
	}
}

void
retry_poke(struct retry *q)
{
	const struct config *config = policy_config(q->relay->policy);
	int64_t now = clock_mono();
	size_t i;

	if (q->stopping)
		return;
	retry_look_in(q, expire_interval(config) < IDLE_LOOK ? expire_interval(config) : IDLE_LOOK);
	for (i = 0; i < config->upstream_count; i++)
		route_claim(q, config, &config->upstreams[i]);
	if (now >= q->next_expire) {
		q->next_expire = now + expire_interval(config);
		retry_expire(q, config);
	}
}

static void
retry_timer_fired(void *context)
{
	struct retry *q = context;

	q->timer_at = INT64_MAX;
	retry_poke(q);
}

struct retry *
retry_new(struct relay *r)
{
	struct retry *q = mem_zalloc(sizeof(*q));

	q->relay = r;
	q->timer_at = INT64_MAX;
	q->timer = loop_timer_new(r->main, retry_timer_fired, q);
	return q;
}

void
retry_stop(struct retry *q)
{
	q->stopping = true;
	loop_timer_cancel(q->timer);
}

void
retry_free(struct retry *q)
{
	struct route *r;

	if (q == NULL)
		return;
	while ((r = q->routes) != NULL) {
		q->routes = r->next;
		policy_unref(r->policy);
		free(r->name);
		free(r);
	}
	loop_timer_free(q->timer);
	free(q);
}
