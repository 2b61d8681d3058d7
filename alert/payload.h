/*
 * What an alert looks like outside: the JSON of docs/api.md, "Alerts", and the line for Slack.
 */
#ifndef ALERT_PAYLOAD_H
#define ALERT_PAYLOAD_H

#include <stdint.h>

#include "base/buf.h"
#include "store/views.h"

/* batch may be NULL; distinct is of the batch. */
void payload_json(const struct store_alert *alert, const struct store_batch *batch,
		  uint64_t distinct, const char *gate, struct buf *out);
/* {"text":"..."}: & < > escaped as Slack asks for, cut at some 3000 characters. */
void payload_slack(const struct store_alert *alert, const char *gate, struct buf *out);

#endif
