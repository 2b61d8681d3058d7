/*
 * Lists of what stands in batches, and what the two files that list deliveries share. Threads as in
 * sqlite_delivery.c.
 */
#ifndef STORE_SQLITE_RUNS_H
#define STORE_SQLITE_RUNS_H

#include "store/sqlite.h"
#include "store/sweep.h"

/* The columns that sqlite_delivery_read() wants, in its order; the tables that `d` is joined with
 * for them. */
#define DELIVERY_COLUMNS                                                                           \
	"SELECT d.message, d.number, d.state, d.environment, d.due_at, d.queued_at,"               \
	" d.changed_at, d.batch, d.stream, d.tries, d.counted, d.recipient,"                       \
	" coalesce(d.final, d.recipient), d.rule, d.reason, d.reply, e.name, m.source,"            \
	" m.sender, m.subject, m.accepted_at, m.bytes, m.campaign, d.notify, d.notice,"            \
	" d.orcpt, d.remote_mta, d.told,"                                                          \
	" v.report, v.audience, d.keys, d.ring, d.era"
#define DELIVERY_JOINS                                                                             \
	" CROSS JOIN message m ON m.id = d.message"                                                \
	" CROSS JOIN environment e ON e.id = d.environment"                                        \
	" LEFT JOIN envelope v ON v.message = d.message"
/* Of batch `b`, for sqlite_sweep_read(). */
#define SWEEP_COLUMNS " b.gone, b.swept, b.swept_at, b.swept_state"

void sqlite_delivery_read(sqlite3_stmt *s, struct delivery_row *d);
/* Column `from` on. */
void sqlite_sweep_read(sqlite3_stmt *s, int from, struct sweep *out);

/* Whether a query is about what stands in batches, so that sqlite_runs_list() answers it. */
bool sqlite_runs_fit(const struct delivery_query *q);
enum store_result sqlite_runs_list(struct db *db, const struct delivery_query *q,
				   delivery_row_fn *row, void *context);

#endif
