/*
 * The drill under way, of which there is one at most: for a while the policy in force has one
 * environment more (config_with_drill()). It ends when the tool says so, by itself after
 * DRILL_LIMIT, or with the process; a reload keeps it. On the main loop; struct drill is freed when
 * it ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "control/drill.h"
#include "daemon/daemon.h"

/* The tool may be gone: what it knew of the secret is worth nothing then. */
#define DRILL_LIMIT (10 * CLOCK_MINUTE)
#define DRILL_LIMIT_TEXT "10 minutes"

enum { SECRET_BYTES = 16, HELO_BYTES = 80 };

struct drill {
	struct daemon *daemon;
	struct loop_timer *timer;
	struct policy *plain; /* what is in force without it */
	char *environment;    /* whose rules are drilled */
	char helo[HELO_BYTES];
	uint16_t sink_port;
};

struct drill_fact {
	struct store_job job;
	char *environment;
};

static void
drill_free(struct drill *drill)
{
	loop_timer_free(drill->timer);
	policy_unref(drill->plain);
	free(drill->environment);
	explicit_bzero(drill->helo, sizeof(drill->helo));
	free(drill);
}

/* The policy with the drill in it; NULL and a reason if there cannot be one. */
static struct policy *
drill_compose(const struct drill *drill, struct policy *plain, struct buf *error)
{
	struct config *config =
	    config_with_drill((struct config *)(uintptr_t)policy_config(plain), drill->environment,
			      drill->helo, drill->sink_port);
	struct policy *policy;

	if (config == NULL) {
		buf_printf(error, "there is no environment %s to drill",
			   log_safe(drill->environment));
		return NULL;
	}
	policy = policy_new(config, error);
	config_unref(config);
	return policy;
}

static void
drill_put_policy(struct daemon *d, struct policy *policy)
{
	policy_unref(d->policy);
	d->policy = policy;
	relay_set_policy(d->relay, policy, d->keys);
}

static void
drill_told(struct store_job *job)
{
	struct drill_fact *f = job->context;

	if (job->result != STORE_OK)
		log_warn("- drill.fact-failed error=%s", log_safe(job->error));
	free(f->environment);
	free(f);
}

/* A drill that nobody ends was not seen through by anybody. */
static void
drill_tell_late(struct daemon *d, const char *environment)
{
	struct drill_fact *f = mem_zalloc(sizeof(*f));

	f->environment = mem_strdup(environment);
	f->job.op = STORE_FACT;
	f->job.done = drill_told;
	f->job.context = f;
	f->job.u.fact.event = "drill.failed";
	f->job.u.fact.environment = f->environment;
	f->job.u.fact.object = "";
	f->job.u.fact.who = "gate";
	f->job.u.fact.reason = "";
	f->job.u.fact.text = "the drill was ended after " DRILL_LIMIT_TEXT
			     ": mailfuse drill did not say how it went; run it again";
	f->job.u.fact.alert = true;
	f->job.u.fact.now = clock_wall();
	f->job.u.fact.keep = DRILL_FAILED_AT;
	f->job.u.fact.number = f->job.u.fact.now;
	writer_submit(d->store, &f->job);
}

static void
drill_timed_out(void *context)
{
	struct daemon *d = ((struct drill *)context)->daemon;
	char *environment = mem_strdup(d->drill->environment);

	drill_end(d);
	drill_tell_late(d, environment);
	free(environment);
}

static bool
drill_make_helo(char out[HELO_BYTES], struct buf *error)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char secret[SECRET_BYTES];
	char text[2 * SECRET_BYTES + 1] = "";

	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret)) {
		buf_add_text(error, "the system gives no random numbers");
		return false;
	}
	for (size_t i = 0; i < SECRET_BYTES; i++) {
		text[2 * i] = hex[secret[i] >> 4];
		text[2 * i + 1] = hex[secret[i] & 15];
	}
	snprintf(out, HELO_BYTES, "drill-%s.mailfuse.invalid", text);
	return true;
}

static bool
drill_is_possible(const struct daemon *d, struct buf *error)
{
	if (d->stopping)
		buf_add_text(error, "mailfused stops; drill again once it runs");
	else if (d->drill != NULL)
		buf_printf(error,
			   "a drill of environment %s is under way already: wait for its end, at "
			   "most " DRILL_LIMIT_TEXT,
			   log_safe(d->drill->environment));
	return !d->stopping && d->drill == NULL;
}

/* What nobody has used for hours may be down without anybody's knowing. */
static void
drill_ask_upstream(struct daemon *d)
{
	const struct config_environment *like =
	    config_find_environment(policy_config(d->policy), d->drill->environment);

	if (like->upstream != NULL && like->upstream[0] != '\0')
		relay_probe(d->relay, like->upstream);
}

bool
drill_begin(void *context, const char *environment, uint16_t sink_port, const char **helo,
	    struct buf *error)
{
	struct daemon *d = context;
	struct drill *drill;
	struct policy *policy;

	if (!drill_is_possible(d, error))
		return false;
	drill = mem_zalloc(sizeof(*drill));
	drill->daemon = d;
	drill->environment = mem_strdup(environment);
	drill->sink_port = sink_port;
	policy =
	    drill_make_helo(drill->helo, error) ? drill_compose(drill, d->policy, error) : NULL;
	if (policy == NULL) {
		drill_free(drill);
		return false;
	}
	drill->plain = policy_ref(d->policy);
	drill->timer = loop_timer_new(d->loop, drill_timed_out, drill);
	loop_timer_set(drill->timer, DRILL_LIMIT);
	d->drill = drill;
	drill_put_policy(d, policy);
	drill_ask_upstream(d);
	log_info("- drill.begun environment=%s sink_port=%u", log_safe(environment), sink_port);
	*helo = drill->helo;
	return true;
}

void
drill_end(void *context)
{
	struct daemon *d = context;
	struct drill *drill = d->drill;

	if (drill == NULL)
		return;
	d->drill = NULL;
	log_info("- drill.ended environment=%s", log_safe(drill->environment));
	/* A stopping relay takes no new policy; this one's upstream ends with it. */
	if (!d->stopping)
		drill_put_policy(d, policy_ref(drill->plain));
	drill_free(drill);
}

struct policy *
drill_keep(struct daemon *d, struct policy *next)
{
	struct buf error = {0};
	struct policy *with;

	if (d->drill == NULL)
		return next;
	with = drill_compose(d->drill, next, &error);
	if (with == NULL) {
		log_warn("- drill.ended environment=%s why=%s", log_safe(d->drill->environment),
			 log_safe(buf_text(&error)));
		drill_free(d->drill);
		d->drill = NULL;
		buf_free(&error);
		return next;
	}
	policy_unref(d->drill->plain);
	d->drill->plain = next;
	return with;
}

void
drill_forget(struct daemon *d)
{
	if (d->drill != NULL)
		drill_free(d->drill);
	d->drill = NULL;
}

void
drill_recall(struct daemon *d)
{
	int64_t at = 0;

	if (store_view_number(d->view, DRILL_PASSED_AT, &at) == STORE_OK)
		metric_add(METRIC_LAST_DRILL_PASSED_AT,
			   at / CLOCK_SECOND - metric_get(METRIC_LAST_DRILL_PASSED_AT));
}
