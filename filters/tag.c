/*
 * Fills the message's edit. Called by gate_judge() on the relay loop that has the message;
 * everything lives in the message's arena.
 */
#include "filters/tag.h"

#include <string.h>

#include "filters/recipients.h"

struct tag_map {
	const struct policy_environment *environment;
	struct arena *arena;
};

static const char *
tag_map_address(void *context, const char *address)
{
	const struct tag_map *map = context;

	return recipient_make_harmless(map->environment, address, map->arena);
}

/* The recipients filter kept the message from somebody it was meant for. */
static bool
is_kept_away(const struct recipient *r)
{
	if (r->verdict.rule != NULL && strcmp(r->verdict.rule, "recipients") == 0)
		return true;
	return r->final != NULL && strcmp(r->final, r->address.text) != 0;
}

void
tag_fill(const struct policy *p, const struct policy_environment *e, struct message *m)
{
	struct tag_map *map = arena_alloc(&m->arena, sizeof(*map));
	const char *prefix =
	    e == NULL || e->config->subject_prefix == NULL ? "" : e->config->subject_prefix;
	size_t i;

	*map = (struct tag_map){.environment = e, .arena = &m->arena};
	m->edit = (struct message_edit){.hostname = arena_strdup(&m->arena, p->config->hostname),
					.subject_prefix = arena_strdup(&m->arena, prefix),
					.map = tag_map_address,
					.context = map};
	for (i = 0; i < m->recipient_count && !m->edit.harmless; i++)
		m->edit.harmless = is_kept_away(&m->recipients[i]);
}
