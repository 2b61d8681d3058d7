/*
 * What a person should know of, in plain sentences, for status. Main loop.
 */
#ifndef CONTROL_WARNINGS_H
#define CONTROL_WARNINGS_H

#include <jansson.h>

#include "control/control.h"

struct config;

/*
 * Adds `policy_warnings` (what the configuration leaves unprotected) and `warnings` (those, and
 * what is wrong just now) to a status that is complete but for them.
 */
void warnings_add(json_t *status, const struct control_deps *deps, const struct config *config);

#endif
