/*
 * Counters of the whole process: relaxed atomics, written by any thread, read by status. A counter
 * only grows; a gauge (…_NOW) goes up and down.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

/* name, what it counts */
#define METRICS_LIST(ROW)                                                                          \
	ROW(CONNECTIONS, "connections", "client connections accepted")                             \
	ROW(CONNECTIONS_NOW, "connections_now", "client connections open")                         \
	ROW(CONNECTIONS_REFUSED, "connections_refused", "client connections answered 421")         \
	ROW(MESSAGES_ACCEPTED, "messages_accepted", "messages answered 250")                       \
	ROW(MESSAGES_REFUSED, "messages_refused", "messages answered 4xx or 5xx after DATA")       \
	ROW(RECIPIENTS_ACCEPTED, "recipients_accepted", "deliveries of accepted messages")         \
	ROW(RECIPIENTS_REJECTED, "recipients_rejected", "recipients answered 5xx")                 \
	ROW(RECIPIENTS_DROPPED, "recipients_dropped", "deliveries dropped")                        \
	ROW(RECIPIENTS_HELD, "recipients_held", "deliveries held")                                 \
	ROW(RECIPIENTS_SENT, "recipients_sent", "deliveries that an upstream took")                \
	ROW(RECIPIENTS_DEFERRED, "recipients_deferred",                                            \
	    "tries that ended in 4xx or a lost "                                                   \
	    "connection")                                                                          \
	ROW(RECIPIENTS_FAILED, "recipients_failed", "deliveries refused for good or given up")     \
	ROW(BODY_BYTES_NOW, "body_bytes_now", "bytes of messages in memory")                       \
	ROW(WRITER_BYTES_NOW, "writer_bytes_now", "bytes that wait for the writer")                \
	ROW(COMMITS, "commits", "commits of the store")                                            \
	ROW(COMMITTED_JOBS, "committed_jobs", "jobs in those commits")                             \
	ROW(ALERTS_SENT, "alerts_sent", "alerts that a channel took")                              \
	ROW(ALERTS_FAILED, "alerts_failed", "tries of alerts that failed")                         \
	ROW(RELOADS, "reloads", "configurations taken into use")                                   \
	ROW(RELOADS_REFUSED, "reloads_refused", "configurations that were refused")                \
	ROW(CONFIG_REFUSED_NOW, "config_refused_now", "1 if the last reload was refused")          \
	ROW(STORE_BYTES_NOW, "store_bytes_now", "bytes of the store that are in use")              \
	ROW(COUNTERS_SAVED_AT, "counters_saved_at",                                                \
	    "since when the burst counters of every shard are saved, seconds since 1970; 0 = "     \
	    "not yet")                                                                             \
	ROW(LAST_DRILL_PASSED_AT, "last_drill_passed_at",                                          \
	    "when the last drill passed, seconds since 1970; 0 = none did")

enum metric {
#define METRICS_ENUM(id, name, help) METRIC_##id,
	METRICS_LIST(METRICS_ENUM)
#undef METRICS_ENUM
	    METRIC_COUNT
};

void metric_add(enum metric which, int64_t n);
/* Of a gauge that has one writer. */
void metric_set(enum metric which, int64_t value);
int64_t metric_get(enum metric which);
const char *metric_name(enum metric which);

#endif
