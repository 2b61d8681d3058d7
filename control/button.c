/*
 * The panic button. Pressing it stops mail in memory first, so that nothing passes while the store
 * writes; letting go is durable first. If the store fails, mail stays stopped and the answer says
 * so.
 *
 * In force is always `stored` (as last read from the store) and `unstored` (pressed, not durable
 * yet, or the write failed). Called by api.c; on the main loop. struct hold_job is freed by
 * hold_stored().
 */
#include "control/button.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"

enum { NAME_MAX_BYTES = 320 };

struct hold_list {
	struct gate_hold *items;
	size_t count;
};

struct button {
	const struct control_deps *deps;
	struct hold_list stored, unstored;
};

struct hold_job {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request;
	char *name, *reason, *who;
	int64_t unstored_since; /* of the one in `unstored` that this writes or ends, -1 if none */
};

const char *
button_scope_name(int scope)
{
	static const char *const names[] = {"everything", "environment", "source"};

	return scope >= 0 && scope < 3 ? names[scope] : "?";
}

static bool
scope_parse(const char *text, enum gate_scope *out)
{
	for (int i = 0; i < 3; i++) {
		if (strcmp(text, button_scope_name(i)) == 0) {
			*out = (enum gate_scope)i;
			return true;
		}
	}
	return false;
}

/* ---- what is in force */

static void
list_add(struct hold_list *l, int scope, const char *name, const char *reason, int64_t since)
{
	l->items = mem_resize_array(l->items, l->count + 1, sizeof(*l->items));
	l->items[l->count++] = (struct gate_hold){.scope = (enum gate_scope)scope,
						  .name = mem_strdup(name),
						  .reason = mem_strdup(reason),
						  .since = since};
}

static void
list_clear(struct hold_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->items[i].name);
		free(l->items[i].reason);
	}
	free(l->items);
	*l = (struct hold_list){0};
}

/* The one of that time, or of any time where `since` is 0. True if there was one. */
static bool
list_remove(struct hold_list *l, int scope, const char *name, int64_t since)
{
	for (size_t i = 0; i < l->count; i++) {
		if ((int)l->items[i].scope != scope || strcmp(l->items[i].name, name) != 0 ||
		    (since != 0 && l->items[i].since != since))
			continue;
		free(l->items[i].name);
		free(l->items[i].reason);
		l->items[i] = l->items[--l->count];
		return true;
	}
	return false;
}

static int64_t
list_since(const struct hold_list *l, int scope, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if ((int)l->items[i].scope == scope && strcmp(l->items[i].name, name) == 0)
			return l->items[i].since;
	return -1;
}

static bool
add_row(void *context, const struct store_hold *row)
{
	list_add(context, row->scope, row->name, row->reason, row->since);
	return true;
}

/* Where the store cannot be read, what was known stays in force. */
static bool
button_read(struct button *b)
{
	struct hold_list now = {0};

	if (store_view_holds(b->deps->view, add_row, &now) != STORE_OK) {
		log_warn("- control.holds-unreadable in_force=%zu", b->stored.count);
		list_clear(&now);
		return false;
	}
	list_clear(&b->stored);
	b->stored = now;
	return true;
}

static void
button_enforce(struct button *b)
{
	size_t count = b->stored.count + b->unstored.count;
	struct gate_hold *all = mem_zalloc((count + 1) * sizeof(*all));

	if (b->stored.count > 0)
		memcpy(all, b->stored.items, b->stored.count * sizeof(*all));
	if (b->unstored.count > 0)
		memcpy(all + b->stored.count, b->unstored.items, b->unstored.count * sizeof(*all));
	counters_set_holds(b->deps->counters, all, count);
	free(all);
}

struct button *
button_new(const struct control_deps *deps)
{
	struct button *b = mem_zalloc(sizeof(*b));

	b->deps = deps;
	button_read(b);
	button_enforce(b);
	return b;
}

void
button_free(struct button *b)
{
	list_clear(&b->stored);
	list_clear(&b->unstored);
	free(b);
}

/* ---- pressed and let go */

static void
hold_job_free(struct hold_job *j)
{
	free(j->name);
	free(j->reason);
	free(j->who);
	free(j);
}

static void
hold_failed(struct hold_job *j)
{
	const char *why = j->job.error[0] != '\0' ? j->job.error : "the log of mailfused says more";

	if (j->job.u.hold.on)
		request_fail(
		    j->request, 503,
		    "the hold is in force now, but it could not be written down and would end with "
		    "a restart of mailfused: %s; set it again once the store works",
		    why);
	else
		request_fail(
		    j->request, 503,
		    "the hold is still in force: that it ended could not be written down: %s; try "
		    "again once the store works",
		    why);
}

/* Main loop, after the commit. */
static void
hold_stored(struct loop_post *post)
{
	struct hold_job *j =
	    (struct hold_job *)(void *)((char *)post - offsetof(struct hold_job, post));
	struct request *r = j->request;
	const struct control_deps *deps = r->deps;
	bool on = j->job.u.hold.on, was = false;
	json_t *answer;

	if (deps == NULL) { /* control is gone, nobody waits */
		request_fail(r, 503, "mailfused stops");
		hold_job_free(j);
		return;
	}
	log_info("- control.%s who=%s scope=%s name=%s stored=%d", on ? "hold" : "unhold",
		 log_safe(j->who), button_scope_name(j->job.u.hold.scope), log_safe(j->name),
		 j->job.result == STORE_OK);
	if (j->job.result != STORE_OK) {
		hold_failed(j);
		hold_job_free(j);
		return;
	}
	was = list_remove(&r->button->unstored, j->job.u.hold.scope, j->name, j->unstored_since);
	if (!button_read(r->button) && !on)
		list_remove(&r->button->stored, j->job.u.hold.scope, j->name, 0);
	button_enforce(r->button);
	deps->alert_poke(deps->context);
	if (!on)
		deps->queue_poke(deps->context);
	answer = json_make_object();
	json_put_bool(answer, "changed", j->job.u.hold.changed || (!on && was));
	if (on)
		json_put_count(answer, "stopped", j->job.u.hold.moved);
	request_reply(r, answer);
	hold_job_free(j);
}

/* Writer's thread. */
static void
hold_done(struct store_job *job)
{
	struct hold_job *j = job->context;

	loop_post(j->loop, &j->post);
}

static bool
name_is_environment(struct request *r, const char *name)
{
	const struct config *config = request_config(r);
	struct buf names = {0};

	if (strncmp(name, CONFIG_ALERTS, strlen(CONFIG_ALERTS)) == 0) {
		request_fail(r, 400,
			     "no hold stops alerts, which tell people of it; take the channel out "
			     "of the configuration instead");
		return false;
	}
	if (config_find_environment(config, name) != NULL)
		return true;
	for (size_t i = 0; i < config->environment_count; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "", config->environments[i].name);
	request_fail(r, 404, "there is no environment %s; there are: %s", log_safe(name),
		     buf_text(&names));
	buf_free(&names);
	return false;
}

static bool
read_call(struct request *r, bool on, enum gate_scope *scope, const char **name,
	  const char **reason)
{
	static const char *const known[] = {"scope", "name", "reason", NULL};
	const char *text;

	if (!request_check_fields(r, known) || !request_field_text(r, "scope", 20, &text) ||
	    !request_field_text(r, "name", NAME_MAX_BYTES, name) ||
	    !request_field_reason(r, reason))
		return false;
	if (!scope_parse(text, scope)) {
		request_fail(r, 400, "scope %s: write everything, environment or source",
			     log_safe(text));
		return false;
	}
	if (*scope == GATE_SCOPE_EVERYTHING && (*name)[0] != '\0') {
		request_fail(r, 400, "everything takes no name: leave %s out, or set the scope",
			     log_safe(*name));
		return false;
	}
	if (*scope != GATE_SCOPE_EVERYTHING && (*name)[0] == '\0') {
		request_fail(r, 400, "name which %s", text);
		return false;
	}
	/* A hold of a misspelt environment would stop nothing. One whose environment was renamed
	 * since can still be ended. */
	return !on || *scope != GATE_SCOPE_ENVIRONMENT || name_is_environment(r, *name);
}

static void
hold_submit(struct request *r, bool on)
{
	const char *name, *reason;
	enum gate_scope scope;
	struct hold_job *j;

	if (!read_call(r, on, &scope, &name, &reason))
		return;
	j = mem_zalloc(sizeof(*j));
	j->loop = r->deps->loop;
	j->request = r;
	j->name = mem_strdup(name);
	j->reason = mem_strdup(reason);
	j->who = mem_strdup(r->who);
	j->post.run = hold_stored;
	j->job.op = STORE_HOLD;
	j->job.done = hold_done;
	j->job.context = j;
	j->job.bytes = sizeof(*j);
	j->job.u.hold.on = on;
	j->job.u.hold.scope = scope;
	j->job.u.hold.name = j->name;
	j->job.u.hold.reason = j->reason;
	j->job.u.hold.who = j->who;
	j->job.u.hold.now = clock_wall();
	if (on) {
		/* Two presses of the same make one. */
		list_remove(&r->button->unstored, scope, name, 0);
		list_add(&r->button->unstored, scope, name, reason, j->job.u.hold.now);
		button_enforce(r->button);
		r->deps->held(r->deps->context);
	}
	j->unstored_since = list_since(&r->button->unstored, scope, name);
	writer_submit(r->deps->store, &j->job);
}

void
button_hold(struct request *r)
{
	hold_submit(r, true);
}

void
button_unhold(struct request *r)
{
	hold_submit(r, false);
}
