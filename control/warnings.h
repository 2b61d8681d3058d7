/*
 * What a person should know of, in plain sentences, for status. Main loop.
 */
#ifndef CONTROL_WARNINGS_H
#define CONTROL_WARNINGS_H

#include <jansson.h>

#include "control/control.h"

struct config;

/*
 * Adds `policy_warnings` (what the configuration lets everybody do, or lets nobody do) and
 * `warnings` (what is wrong just now, and who would not be told) to a status that is complete but
 * for them. A sentence stands in one of the two.
 */
void warnings_add(json_t *status, const struct control_deps *deps, const struct config *config);

#endif
