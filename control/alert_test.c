/*
 * One try of an alert channel, whose end is the answer. Called by api.c on the main loop; the
 * channel is tried by alert/, which control/ reaches through the daemon only.
 */
#include "control/alert_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"

enum { NAME_MAX_BYTES = 100 };

struct alert_test {
	struct request *request;
	char *channel;
};

/* Once, on the main loop; who asked may be gone. */
static void
test_ended(void *context, bool ok, int64_t took, const char *why)
{
	struct alert_test *t = context;
	json_t *answer;

	if (t->request->deps == NULL) {
		request_fail(t->request, 503, "mailfused stops");
	} else {
		answer = json_make_object();
		json_put_text(answer, "channel", t->channel);
		json_put_bool(answer, "ok", ok);
		json_put(answer, "seconds", json_real((double)took / CLOCK_SECOND));
		json_put_text(answer, "why", why);
		request_reply(t->request, answer);
	}
	free(t->channel);
	free(t);
}

static void
fail_unknown(struct request *r, const char *channel)
{
	const struct config *config = request_config(r);
	struct buf names = {0};

	for (size_t i = 0; i < config->alert_count; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "", config->alerts[i].name);
	request_fail(r, 404, "there is no channel %s; there %s%s", log_safe(channel),
		     names.len > 0 ? "are: " : "is none at all: add a section alert to ",
		     names.len > 0 ? buf_text(&names) : "the configuration");
	buf_free(&names);
}

static bool
is_channel(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->alert_count; i++)
		if (strcmp(config->alerts[i].name, name) == 0)
			return true;
	return false;
}

void
alert_test_post(struct request *r)
{
	static const char *const known[] = {"channel", NULL};
	struct buf why = {0};
	struct alert_test *t;
	const char *channel;

	if (!request_check_fields(r, known) ||
	    !request_field_text(r, "channel", NAME_MAX_BYTES, &channel))
		return;
	if (r->deps->alert_try == NULL || !is_channel(request_config(r), channel)) {
		fail_unknown(r, channel);
		return;
	}
	t = mem_zalloc(sizeof(*t));
	t->request = r;
	t->channel = mem_strdup(channel);
	if (!r->deps->alert_try(r->deps->context, channel, r->who, test_ended, t, &why)) {
		request_fail(r, 409, "%s", buf_text(&why));
		free(t->channel);
		free(t);
	}
	buf_free(&why);
}
