/*
 * A drill as the API has it: begun here, seen through by the tool (cli/drill.c), and told by it how
 * it went. The daemon holds the drill itself (daemon/drill.c). Called by api.c and status.c; main
 * loop. struct drill_call is freed by drill_written().
 */
#include "control/drill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/units.h"
#include "config/options.h"
#include "control/json.h"
#include "control/request.h"
#include "control/status.h"

enum { NAME_MAX_BYTES = 320, STEPS_MAX = 100, STEP_TEXT_MAX = 2000, PORT_LEAST = 1024 };

/* What becomes of a report. */
struct drill_call {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request;
	char *environment, *text, *who;
	bool passed;
};

/* ---- it begins */

/* The listener as it was bound, and where a client on this machine reaches it. */
struct drill_listener {
	const char *wanted; /* "" = the first */
	char name[NAME_MAX_BYTES + 1], address[80];
};

static void
take_listener(void *context, const char *name, const char *address)
{
	struct drill_listener *l = context;

	if (l->name[0] != '\0' || (l->wanted[0] != '\0' && strcmp(l->wanted, name) != 0))
		return;
	snprintf(l->name, sizeof(l->name), "%s", name);
	/* Bound to every address of the machine: the loopback is one of them. */
	if (strncmp(address, "0.0.0.0:", 8) == 0)
		snprintf(l->address, sizeof(l->address), "127.0.0.1:%s", address + 8);
	else if (strncmp(address, "[::]:", 5) == 0)
		snprintf(l->address, sizeof(l->address), "[::1]:%s", address + 5);
	else
		snprintf(l->address, sizeof(l->address), "%s", address);
}

static const struct config_listener *
find_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

/* False after it answered why this environment cannot be drilled. */
static bool
check_environment(struct request *r, const struct config *config, const char *name)
{
	const struct config_environment *env = config_find_environment(config, name);
	struct buf names = {0};

	if (env == NULL || strcmp(name, "unknown") == 0 || strcmp(name, CONFIG_DRILL) == 0) {
		for (size_t i = 0; i < config->environment_count; i++)
			if (strcmp(config->environments[i].name, "unknown") != 0 &&
			    strcmp(config->environments[i].name, CONFIG_DRILL) != 0)
				buf_printf(&names, "%s%s", names.len > 0 ? ", " : "",
					   config->environments[i].name);
		request_fail(r, 404, "there is no environment %s to drill; there are: %s",
			     log_safe(name), names.len > 0 ? buf_text(&names) : "none");
		buf_free(&names);
		return false;
	}
	if (env->upstream == NULL || env->upstream[0] == '\0') {
		request_fail(r, 409,
			     "nothing leaves from environment %s (%s): there is no release path to "
			     "drill",
			     log_safe(name),
			     env->upstream == NULL ? "it has no upstream" : "upstream = none");
		return false;
	}
	return true;
}

static bool
is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	       strcmp(host, "localhost") == 0;
}

/* The sink is the tool's own: a port where a mail server may listen is none. */
static bool
check_port(struct request *r, const struct config *config, json_int_t port)
{
	bool taken = false;

	for (size_t i = 0; i < config->upstream_count; i++)
		taken = taken || (config->upstreams[i].port == port &&
				  is_loopback(config->upstreams[i].host) &&
				  strcmp(config->upstreams[i].name, CONFIG_DRILL) != 0);
	for (size_t i = 0; i < config->listener_count; i++)
		taken = taken || config->listeners[i].port == port;
	if (port >= PORT_LEAST && port <= UINT16_MAX && !taken)
		return true;
	if (taken && port >= PORT_LEAST)
		request_fail(r, 409,
			     "sink_port: %d belongs to a listener or an upstream; let the sink "
			     "listen on a port of its own",
			     (int)port);
	else
		request_fail(
		    r, 400,
		    "sink_port: write the port on 127.0.0.1 where the drill's sink listens, from "
		    "%d to %d",
		    PORT_LEAST, UINT16_MAX);
	return false;
}

static json_t *
make_answer(const struct request *r, const char *environment, const char *helo,
	    const struct drill_listener *bound)
{
	const struct config *config = request_config(r);
	const struct config_environment *like = config_find_environment(config, environment);
	const struct config_listener *l = find_listener(config, bound->name);
	json_t *answer = json_make_object();

	json_put_text(answer, "helo", helo);
	json_put_text(answer, "listener", bound->name);
	json_put_text(answer, "address", bound->address);
	json_put_text(answer, "tls", options_find("listener", "tls")->words[l->tls]);
	json_put_text(answer, "auth", options_find("listener", "auth")->words[l->auth]);
	json_put_count(answer, "max_recipients", l->max_recipients);
	json_put_count(answer, "max_connections", l->max_client_connections);
	json_put_text(answer, "environment", CONFIG_DRILL);
	json_put_text(answer, "domain", CONFIG_DRILL_DOMAIN);
	json_put_text(answer, "upstream", like->upstream);
	json_put(answer, "rules", status_bursts(like));
	return answer;
}

void
drill_start(struct request *r)
{
	static const char *const known[] = {"environment", "sink_port", "listener", NULL};
	const struct control_deps *deps = r->deps;
	const struct config *config = request_config(r);
	struct drill_listener bound = {.wanted = ""};
	const char *environment, *helo = NULL;
	json_t *port = json_object_get(r->body, "sink_port");
	struct buf error = {0};

	if (!request_check_fields(r, known) ||
	    !request_field_text(r, "environment", NAME_MAX_BYTES, &environment) ||
	    !request_field_text(r, "listener", NAME_MAX_BYTES, &bound.wanted) ||
	    !check_environment(r, config, environment) ||
	    !check_port(r, config, json_is_integer(port) ? json_integer_value(port) : 0))
		return;
	deps->listeners(deps->context, take_listener, &bound);
	if (bound.name[0] == '\0' || find_listener(config, bound.name) == NULL) {
		request_fail(r, 404, "there is no listener %s; mailfuse status lists them",
			     log_safe(bound.wanted));
		return;
	}
	if (!deps->drill_begin(deps->context, environment, (uint16_t)json_integer_value(port),
			       &helo, &error))
		request_fail(r, 409, "%s", buf_text(&error));
	else
		request_reply(r, make_answer(r, environment, helo, &bound));
	buf_free(&error);
}

/* ---- it ends */

static void
call_free(struct drill_call *call)
{
	free(call->environment);
	free(call->text);
	free(call->who);
	free(call);
}

/* Main loop, after the commit. */
static void
drill_written(struct loop_post *post)
{
	struct drill_call *call =
	    (struct drill_call *)(void *)((char *)post - offsetof(struct drill_call, post));
	struct request *r = call->request;
	const struct control_deps *deps = r->deps;
	json_t *answer;

	if (deps == NULL) { /* control is gone, nobody waits */
		request_fail(r, 503, "mailfused stops");
		call_free(call);
		return;
	}
	if (call->job.result != STORE_OK) {
		request_fail_store(r, call->job.result, "the drill's report", call->job.error);
		call_free(call);
		return;
	}
	log_info("- drill.reported environment=%s passed=%d who=%s", log_safe(call->environment),
		 call->passed, log_safe(call->who));
	if (call->passed)
		metric_add(METRIC_LAST_DRILL_PASSED_AT,
			   call->job.u.fact.now / CLOCK_SECOND -
			       metric_get(METRIC_LAST_DRILL_PASSED_AT));
	deps->alert_poke(deps->context);
	answer = json_make_object();
	json_put_bool(answer, "passed", call->passed);
	json_put_time(answer, "at", call->job.u.fact.now);
	request_reply(r, answer);
	call_free(call);
}

/* Writer's thread. */
static void
drill_done(struct store_job *job)
{
	struct drill_call *call = job->context;

	loop_post(call->loop, &call->post);
}

static bool
step_is_fine(const json_t *step)
{
	const char *name = json_string_value(json_object_get(step, "step"));
	const char *text = json_string_value(json_object_get(step, "text"));

	return name != NULL && text != NULL && strlen(name) <= 100 &&
	       strlen(text) <= STEP_TEXT_MAX && text_is_clean(name, strlen(name)) &&
	       text_is_clean(text, strlen(text)) &&
	       json_is_boolean(json_object_get(step, "passed"));
}

/*
 * One line for people. What failed comes first: that is what somebody has to see. False after it
 * answered 400.
 */
static bool
write_steps(struct request *r, const char *environment, bool passed, struct buf *out)
{
	json_t *steps = json_object_get(r->body, "steps"), *step;
	size_t i, wrong = 0;

	if (!json_is_array(steps) || json_array_size(steps) > STEPS_MAX)
		goto bad;
	json_array_foreach(steps, i, step)
	{
		if (!step_is_fine(step))
			goto bad;
		wrong += json_is_false(json_object_get(step, "passed"));
	}
	if (passed != (wrong == 0 && json_array_size(steps) > 0)) {
		request_fail(r, 400, "passed: a drill has passed if all of its steps have");
		return false;
	}
	buf_printf(out, "the drill of environment %s %s", environment,
		   passed ? "passed: " : "failed at ");
	for (int pass = passed ? 1 : 0; pass < 2; pass++) {
		const char *between = pass == 1 && !passed ? ". What passed: " : "";

		json_array_foreach(steps, i, step)
		{
			if (json_is_true(json_object_get(step, "passed")) != (pass == 1))
				continue;
			buf_printf(out, "%s%s: %s", between,
				   json_string_value(json_object_get(step, "step")),
				   json_string_value(json_object_get(step, "text")));
			between = "; ";
		}
	}
	return true;
bad:
	request_fail(r, 400,
		     "steps: list at most %d of {\"step\",\"passed\",\"text\"}; a text has at most "
		     "%d bytes",
		     STEPS_MAX, STEP_TEXT_MAX);
	return false;
}

/* True while the policy in force has a drill of that environment. */
static bool
is_under_way(const struct request *r, const char *environment)
{
	const struct config_drill *drill = &request_config(r)->drill;

	return drill->helo != NULL && strcmp(drill->environment, environment) == 0;
}

void
drill_finish(struct request *r)
{
	static const char *const known[] = {"environment", "passed", "steps", NULL};
	const char *environment;
	struct buf text = {0};
	struct drill_call *call;
	bool passed = false;

	if (!request_check_fields(r, known) ||
	    !request_field_text(r, "environment", NAME_MAX_BYTES, &environment) ||
	    !request_field_bool(r, "passed", &passed))
		return;
	if (!is_under_way(r, environment)) {
		request_fail(r, 409,
			     "no drill of environment %s is under way: it has ended by itself, or "
			     "mailfused was started again; run mailfuse drill once more",
			     log_safe(environment));
		return;
	}
	if (!write_steps(r, environment, passed, &text)) {
		buf_free(&text);
		return;
	}
	r->deps->drill_end(r->deps->context);
	call = mem_zalloc(sizeof(*call));
	call->loop = r->deps->loop;
	call->request = r;
	call->environment = mem_strdup(environment);
	call->text = buf_take(&text);
	call->who = mem_strdup(r->who);
	call->passed = passed;
	call->post.run = drill_written;
	call->job.op = STORE_FACT;
	call->job.done = drill_done;
	call->job.context = call;
	call->job.bytes = sizeof(*call) + strlen(call->text);
	call->job.u.fact.event = passed ? "drill.passed" : "drill.failed";
	call->job.u.fact.environment = call->environment;
	call->job.u.fact.object = call->environment;
	call->job.u.fact.who = call->who;
	call->job.u.fact.reason = "";
	call->job.u.fact.text = call->text;
	call->job.u.fact.alert = true;
	call->job.u.fact.now = clock_wall();
	call->job.u.fact.keep = passed ? DRILL_PASSED_AT : DRILL_FAILED_AT;
	call->job.u.fact.number = call->job.u.fact.now;
	writer_submit(r->deps->store, &call->job);
}

/* ---- what status says of it */

json_t *
drill_last(struct store_view *view)
{
	int64_t passed = 0, failed = 0;
	json_t *o;

	if (store_view_number(view, DRILL_PASSED_AT, &passed) != STORE_OK ||
	    store_view_number(view, DRILL_FAILED_AT, &failed) != STORE_OK ||
	    (passed == 0 && failed == 0))
		return json_null();
	o = json_make_object();
	json_put_time(o, "at", passed > failed ? passed : failed);
	json_put_bool(o, "passed", passed > failed);
	json_put_time(o, "passed_at", passed);
	return o;
}

/* There is something to drill where mail can leave. */
static bool
can_drill(const struct config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const char *upstream = config->environments[i].upstream;

		if (upstream != NULL && upstream[0] != '\0')
			return true;
	}
	return false;
}

void
drill_warn(const struct config *config, const json_t *last, struct buf *out)
{
	const char *text = json_string_value(json_object_get(last, "passed_at"));
	const char *at = json_string_value(json_object_get(last, "at"));
	char age[UNITS_BYTES], every[UNITS_BYTES];
	int64_t passed = 0;

	if (config->drill_every <= 0 || !can_drill(config))
		return;
	if (at != NULL && json_is_false(json_object_get(last, "passed")))
		buf_printf(out,
			   "the last drill (%s) failed: mailfuse log says at what; put it right, "
			   "then run mailfuse drill.",
			   at);
	else if (text == NULL || !clock_parse_iso(text, &passed))
		buf_add_text(out, "no drill has ever passed: mailfuse drill.");
	else if (clock_wall() - passed > config->drill_every)
		buf_printf(out, "no drill has passed for %s (drill_every is %s): mailfuse drill.",
			   units_format_duration(clock_wall() - passed, age),
			   units_format_duration(config->drill_every, every));
}
