/*
 * From a configuration's file to a simulation of it: for the command, which knows no other room.
 * For the recorded history the rules go that it cannot judge.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mail/mime.h"
#include "simulate/simulate.h"

static void
add_name(struct buf *names, const struct config_environment *e, const char *kind, const char *name)
{
	buf_printf(names, "%s%s \"%s\" of %s", names->len > 0 ? ", " : "", kind, name, e->name);
}

static void
prune_bursts(struct config_environment *e, struct buf *names)
{
	size_t i, kept = 0;

	for (i = 0; i < e->burst_count; i++) {
		struct config_burst *burst = &e->bursts[i];

		if (burst->per & CONFIG_PER_RECIPIENT) {
			add_name(names, e, "burst", burst->name);
			free(burst->name);
			continue;
		}
		e->bursts[kept++] = *burst;
	}
	e->burst_count = kept;
}

/* Of what is written in a message only its subject is recorded. */
static bool
is_judged(const struct config_content *content)
{
	return content->part == CONFIG_PART_HEADER && strcasecmp(content->header, "Subject") == 0 &&
	       (content->per & CONFIG_PER_RECIPIENT) == 0;
}

static void
prune_contents(struct config_environment *e, struct buf *names)
{
	size_t i, kept = 0;

	for (i = 0; i < e->content_count; i++) {
		struct config_content *content = &e->contents[i];

		if (!is_judged(content)) {
			add_name(names, e, "content", content->name);
			free(content->name);
			free(content->header);
			free(content->match);
			continue;
		}
		e->contents[kept++] = *content;
	}
	e->content_count = kept;
}

/* Nobody else has the configuration yet, so that it may still change. */
static void
prune_rules(struct config *config, struct buf *names)
{
	size_t i;

	for (i = 0; i < config->environment_count; i++) {
		struct config_environment *e = &config->environments[i];

		/* Its built-in rules judge nothing. */
		if (strcmp(e->name, "unknown") == 0)
			continue;
		prune_bursts(e, names);
		prune_contents(e, names);
	}
}

struct simulation *
simulation_open(const char *path, const struct simulation_options *options, struct buf *left_out,
		struct buf *errors)
{
	static bool ready;
	struct simulation *s;
	struct config *config;

	if (!ready)
		mime_init();
	ready = true;
	config = config_load_policy(path, errors);
	if (config == NULL)
		return NULL;
	if (left_out != NULL)
		prune_rules(config, left_out);
	s = simulation_new(config, options, errors);
	config_unref(config);
	return s;
}
