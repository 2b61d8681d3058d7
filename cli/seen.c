/*
 * Reads a batch for `seen`. Called by cli/decide.c and cli/plan.c. Mailfused refuses a decision
 * whose batch is not that any more, and says what has changed: who said yes to 312 recipients did
 * not say yes to 5,000.
 */
#include "cli/seen.h"

static void
copy_field(json_t *seen, const json_t *from, const char *name, const char *as)
{
	json_t *value = json_object_get(from, name);

	/* A daemon of before does not say. */
	if (value != NULL)
		json_object_set(seen, as, value);
}

json_t *
seen_read(const struct command *c, const char *id, unsigned fields)
{
	struct buf path = {0}, ignored = {0};
	json_t *batch = NULL, *seen = NULL, *plan;

	if (id == NULL || id[0] != 'B' || !command_will_ask(c))
		return NULL;
	buf_printf(&path, "/v1/batches/%s", id);
	if (client_get(c->client, buf_text(&path), &batch, &ignored) == CLIENT_DONE) {
		seen = json_object();
		if (fields & SEEN_NUMBERS) {
			copy_field(seen, batch, "state", "state");
			copy_field(seen, batch, "released", "released");
			copy_field(seen, batch, "discarded", "discarded");
		}
		if (fields & SEEN_HELD)
			copy_field(seen, batch, "held", "held");
		plan = json_object_get(batch, "plan");
		if (fields & SEEN_PLAN && json_is_null(plan))
			json_object_set(seen, "plan", plan);
		if (fields & SEEN_PLAN)
			copy_field(seen, plan, "id", "plan");
		if (fields & SEEN_RING)
			copy_field(seen, plan, "ring", "ring");
	}
	json_decref(batch);
	buf_free(&path);
	buf_free(&ignored);
	return seen;
}
