/*
 * How a release goes on, in words: for questions, results and `mailfuse show`.
 */
#ifndef CLI_PLAN_TEXT_H
#define CLI_PLAN_TEXT_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"

/*
 * " at 100/1m, in rings of 10, 100 and all that is left, 10m after each, stopped when more than 2%
 * of a ring are refused". Of a plan, or of the body of a release. Nothing if there is nothing to
 * say.
 */
void plan_text_terms(const json_t *plan, struct buf *out);
/* "10 (done), 100 (now), all that is left; 10 min after each; at 100/1m": of a plan, for show. */
void plan_text_rings(const json_t *plan, struct buf *out);
/* " Mail that follows passes for 1h."; nothing without a stream. */
void plan_text_stream(const json_t *o, bool passes, struct buf *out);

#endif
