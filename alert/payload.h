/*
 * What an alert looks like to programs: the JSON of docs/api.md, "Alerts". cards.h has what chats
 * get.
 */
#ifndef ALERT_PAYLOAD_H
#define ALERT_PAYLOAD_H

#include <stdint.h>

#include "base/buf.h"
#include "store/views.h"

/* batch may be NULL; distinct is of the batch. */
void payload_json(const struct store_alert *alert, const struct store_batch *batch,
		  uint64_t distinct, const char *gate, struct buf *out);

#endif
