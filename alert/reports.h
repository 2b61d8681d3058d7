/*
 * The outbox's jobs at the store: looks for new alerts, and what became of each. They outlive the
 * outbox: what is at the store when it ends comes back to nobody. Main loop.
 */
#ifndef ALERT_REPORTS_H
#define ALERT_REPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "net/loop.h"
#include "store/store.h"

struct reports;

struct reports *reports_new(struct loop *loop, struct store *store);
/* Nothing is called any more; the memory goes when the store has answered all. */
void reports_free(struct reports *s);

/* What became of one row; tried again until the store takes it. */
void report_send(struct reports *s, enum store_alert_step step, int64_t row, int64_t due_at,
		 bool tried, const char *why);
/* Once a second: what the store could not take goes there again. */
void reports_retry(struct reports *s);

/*
 * FAN_OUT to the channels of `config`, which it keeps meanwhile, or TAKE of up to `limit` alerts of
 * those of which `is_full` does not say that they have enough to do.
 * `done` is called on the main loop; the alerts are good during the call.
 */
typedef void report_looked(void *context, enum store_alert_step step, bool ok,
			   const struct store_alert *alerts, size_t count);
void report_look(struct reports *s, enum store_alert_step step, struct config *config,
		 uint32_t limit, bool (*is_full)(void *context, const char *channel),
		 report_looked *done, void *context);

#endif
