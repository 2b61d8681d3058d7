/*
 * What of a status needs a person now.
 */
#ifndef CLI_TOP_TROUBLE_H
#define CLI_TOP_TROUBLE_H

#include <stddef.h>

#include <jansson.h>

#include "base/buf.h"

/* A line of harmless text for each, ended by "\n", the most urgent first. Returns how many. */
size_t top_trouble(const json_t *status, struct buf *out);

#endif
