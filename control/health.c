/*
 * /livez and /readyz. What stops mail for a while is not ready; held mail, a panic hold and an
 * upstream that is down are, because the gate takes mail then and keeps it. Main loop.
 */
#include "control/health.h"

#include <stddef.h>

#include "control/json.h"
#include "control/request.h"
#include "store/store.h"

static void
reply_ok(struct request *r)
{
	json_t *answer = json_make_object();

	json_put_text(answer, "status", "ok");
	request_reply(r, answer);
}

void
health_live(struct request *r)
{
	reply_ok(r);
}

static void
count_listener(void *arg, const char *name, const char *address)
{
	(void)name;
	(void)address;
	++*(size_t *)arg;
}

/* NULL if it is ready. Anybody may read it: no paths, no names. */
static const char *
find_obstacle(const struct control_deps *deps)
{
	size_t listeners = 0;
	const char *why;

	if (deps->stopping != NULL && deps->stopping(deps->context))
		return "mailfused stops; ask again once it runs";
	deps->listeners(deps->context, count_listener, &listeners);
	if (listeners == 0)
		return "there is no listener; mail has no way in";
	if (store_is_lost(deps->store) || store_is_broken(deps->store))
		return "the store cannot be written; the log of mailfused says more";
	if (!store_has_room(deps->store, &why))
		return "the store has no room; mailfuse status says more";
	return NULL;
}

void
health_ready(struct request *r)
{
	const char *why = find_obstacle(r->deps);

	if (why != NULL)
		request_fail(r, 503, "%s", why);
	else
		reply_ok(r);
}
