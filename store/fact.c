/*
 * STORE_FACT for callers that do not wait: the job and its strings are one block, freed when the
 * writer has answered.
 */
#include "store/fact.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct telling {
	struct store_job job;
	struct arena arena;
};

static void
telling_done(struct store_job *job)
{
	struct telling *t = job->context;

	if (job->result != STORE_OK)
		log_warn("- store.fact-failed event=%s error=%s", job->u.fact.event,
			 log_safe(job->error));
	arena_free(&t->arena);
	free(t);
}

static const char *
copy(struct telling *t, const char *text)
{
	return text != NULL && *text != '\0' ? arena_strdup(&t->arena, text) : "";
}

void
fact_tell(struct store *s, const struct fact *f)
{
	struct telling *t = mem_zalloc(sizeof(*t));

	t->job.op = STORE_FACT;
	t->job.done = telling_done;
	t->job.context = t;
	t->job.u.fact.event = copy(t, f->event);
	t->job.u.fact.environment = copy(t, f->environment);
	t->job.u.fact.object = copy(t, f->object);
	t->job.u.fact.who = f->who != NULL ? copy(t, f->who) : "gate";
	t->job.u.fact.reason = copy(t, f->reason);
	t->job.u.fact.text = copy(t, f->text);
	t->job.u.fact.alert = f->alert;
	t->job.u.fact.keep = f->keep != NULL ? copy(t, f->keep) : NULL;
	t->job.u.fact.number = f->number;
	t->job.u.fact.now = clock_wall();
	writer_submit(s, &t->job);
}
