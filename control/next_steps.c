/*
 * The command lines below `mailfuse show`: rings before everything at once, pause while something
 * leaves, and what undoes the last step. Called by batch.c; main loop.
 */
#include "control/next_steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "control/json.h"

void
next_steps_take_batch(struct next_steps *n, const struct store_batch *b)
{
	n->batch = b->id;
	n->environment = mem_strdup(b->environment);
	n->state = b->state;
	n->held = b->held;
	n->discarded = b->discarded - b->purged;
}

void
next_steps_take_plan(struct next_steps *n, const struct store_plan *p)
{
	n->plan = p->state;
	n->rings_to_come = p->released < p->total;
}

void
next_steps_free(struct next_steps *n)
{
	free(n->environment);
	n->environment = NULL;
}

static void
add_command(const struct next_steps *n, json_t *list, const char *verb, const char *options)
{
	char id[JSON_BATCH_BYTES];
	char *line = mem_printf("mailfuse %s %s%s", verb, json_batch_id(n->batch, id), options);

	json_append(list, json_text(line, strlen(line)));
	free(line);
}

static void
add_releases(const struct next_steps *n, json_t *list)
{
	if (n->held > 1000)
		add_command(n, list, "release",
			    " --rings 10,100,1000,all --wait 10m --stop-on 2% --reason TEXT");
	else if (n->held > 100)
		add_command(n, list, "release",
			    " --rings 10,100,all --wait 10m --stop-on 2% --reason TEXT");
	if (n->held > 10)
		add_command(n, list, "release", " --first 10 --reason TEXT");
	if (n->held > 1000)
		add_command(n, list, "release", " --percent 5 --reason TEXT");
	add_command(n, list, "release",
		    n->held > 1000 ? " --rate 100/1m --reason TEXT" : " --reason TEXT");
}

/* Nothing leaves from an environment that captures, or has no upstream. A batch of the panic button
 * has no environment: its mail is of several. */
static bool
is_releasable(const struct next_steps *n, const struct config *config)
{
	const struct config_environment *env = config_find_environment(config, n->environment);

	return n->environment[0] == '\0' ||
	       (env != NULL && env->upstream != NULL && env->upstream[0] != '\0');
}

json_t *
next_steps_make(const struct next_steps *n, const struct config *config)
{
	bool releasable = n->held > 0 && is_releasable(n, config);
	bool runs = n->plan == STORE_PLAN_RUNNING || n->state == STORE_BATCH_RELEASING;
	json_t *list = json_make_array();

	if (n->plan == STORE_PLAN_ASKED && releasable)
		add_command(n, list, "approve", "");
	if (n->plan == STORE_PLAN_PAUSED && releasable)
		add_command(n, list, "resume", " --reason TEXT");
	if (runs)
		add_command(n, list, "pause", " --reason TEXT");
	if (releasable && n->plan != STORE_PLAN_ASKED && n->plan != STORE_PLAN_PAUSED &&
	    !(runs && n->rings_to_come))
		add_releases(n, list);
	if (n->held > 0)
		add_command(n, list, "discard", " --reason TEXT");
	if (n->discarded > 0) {
		add_command(n, list, "restore", " --reason TEXT");
		add_command(n, list, "purge", " --reason TEXT");
	}
	add_command(n, list, "messages", "");
	return list;
}
