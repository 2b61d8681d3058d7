/*
 * What stands in the way of a release. Main loop.
 */
#ifndef CONTROL_OBSTACLE_H
#define CONTROL_OBSTACLE_H

#include <stdbool.h>
#include <stdint.h>

struct decision;
struct request;
struct store_page;

/*
 * True if all that the release names is there and may leave under the configuration in force. Else
 * it has answered 404, or 409 with what to do. Says in `d` whether its ids are mail of a drill.
 */
bool obstacle_check(struct request *r, struct decision *d);
/* The same for one batch. */
bool obstacle_check_batch(struct request *r, int64_t batch, const struct store_page *page);

#endif
