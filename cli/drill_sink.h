/*
 * Where a drill's released mail arrives: an SMTP server on 127.0.0.1 for mailfused's relay, which
 * counts recipients and keeps nothing. One thread: whoever waits for something serves it meanwhile.
 */
#ifndef CLI_DRILL_SINK_H
#define CLI_DRILL_SINK_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct drill_sink;

struct drill_sink_counts {
	uint64_t taken;    /* recipients of this drill, each counted once */
	uint64_t repeated; /* that came again */
	uint64_t strange;  /* that are not of this drill: what an earlier one left behind */
};

/* Listens on a port that the system chooses. Recipients are drill-000001@DOMAIN up to `count`.
 * NULL and a reason in `error`. */
struct drill_sink *drill_sink_new(const char *domain, uint32_t count, struct buf *error);
void drill_sink_free(struct drill_sink *s);
uint16_t drill_sink_port(const struct drill_sink *s);
/* Up to so many recipients from now on. */
void drill_sink_expect(struct drill_sink *s, uint32_t count);
/* Waits at most so long for somebody to say something, then answers all that was said. */
void drill_sink_serve(struct drill_sink *s, int milliseconds);
/* What to wait for besides own sockets; at most DRILL_SINK_FDS. Returns how many. */
enum { DRILL_SINK_FDS = 17 };
size_t drill_sink_fds(const struct drill_sink *s, struct pollfd fds[DRILL_SINK_FDS]);
const struct drill_sink_counts *drill_sink_counts(const struct drill_sink *s);

#endif
