/*
 * What stands in the way of a release. Main loop.
 */
#ifndef CONTROL_OBSTACLE_H
#define CONTROL_OBSTACLE_H

#include <stdbool.h>

struct decision;
struct request;

/*
 * True if all that the release names is there and may leave under the configuration in force. Else
 * it has answered 404, or 409 with what to do.
 */
bool obstacle_check(struct request *r, const struct decision *d);

#endif
