/*
 * The end of the audit log's chain. See chain.h; called by work.c, store.c and, for what an alert
 * says of it, job_alert.c.
 */
#include "store/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "store/work.h"

static bool
is_same(const struct chain_end *a, const struct chain_end *b)
{
	return a->id == b->id && memcmp(a->hash, b->hash, AUDIT_CHAIN_BYTES) == 0;
}

static enum store_result
append(struct work *w, struct audit_link *link, struct chain_end *end)
{
	struct chain_end next;

	if (end->id == INT64_MAX) { /* only somebody else can have put that there */
		snprintf(w->db->error, sizeof(w->db->error),
			 "the audit log's last row has the highest number that there is");
		return STORE_BROKEN;
	}
	link->id = next.id = end->id + 1;
	audit_chain_next(end->hash, link, next.hash);
	TRY(w->b->audit_add(w->db, link, next.hash));
	*end = w->chain.now = next;
	w->chain.known = true;
	return STORE_OK;
}

static const char *
end_text(struct work *w, const struct chain_end *end)
{
	char hex[AUDIT_CHAIN_HEX_BYTES];

	audit_chain_format(end->hash, hex);
	return arena_printf(&w->arena, "%" PRId64 ":%s", end->id, hex);
}

/* What was there before stays as it is: it is the evidence. */
static enum store_result
tell_broken(struct work *w, int64_t now, const struct chain_end *wanted, struct chain_end *found,
	    const char *when)
{
	const char *text = arena_printf(
	    &w->arena,
	    "the audit log was altered %s: its last row was %" PRId64 ", and is %" PRId64
	    "%s now; run `mailfuse audit verify`, and find out who can write the store",
	    when, wanted->id, found->id, wanted->id == found->id ? " with another content" : "");
	struct audit_link link = {
	    .at = now,
	    .who = "gate",
	    .action = "audit.broken",
	    .object = "",
	    .reason = text,
	    .detail = arena_printf(&w->arena, "wanted=%s found=%s", end_text(w, wanted),
				   end_text(w, found)),
	};

	log_warn("- audit.broken wanted=%" PRId64 " found=%" PRId64 " when=\"%s\"", wanted->id,
		 found->id, when);
	TRY(append(w, &link, found));
	return work_alert(
	    w, &(struct event_row){
		   .at = now, .event = "audit.broken", .who = "gate", .reason = "", .text = text});
}

enum store_result
chain_open(struct work *w, int64_t now)
{
	struct chain_end head, found;

	TRY(w->b->audit_last(w->db, &found.id, found.hash));
	TRY(w->b->audit_head(w->db, &head.id, head.hash));
	w->chain = (struct chain){.now = found, .written = found, .known = true};
	if (is_same(&head, &found))
		return STORE_OK;
	return tell_broken(w, now, &head, &found, "while no gate was running");
}

enum store_result
chain_add(struct work *w, struct audit_link *link)
{
	struct chain_end found;

	TRY(w->b->audit_last(w->db, &found.id, found.hash));
	if (w->chain.known && !is_same(&w->chain.now, &found)) {
		const struct chain_end wanted = w->chain.now;

		TRY(tell_broken(w, link->at, &wanted, &found, "while the gate was running"));
	}
	return append(w, link, &found);
}

void
chain_committed(struct work *w)
{
	w->chain.written = w->chain.now;
}

void
chain_forget(struct work *w)
{
	w->chain.now = w->chain.written;
}
