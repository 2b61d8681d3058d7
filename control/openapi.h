/*
 * GET /v1/openapi.json. Main loop.
 */
#ifndef CONTROL_OPENAPI_H
#define CONTROL_OPENAPI_H

#include <stddef.h>

struct request;

void openapi_get(struct request *r);

/* docs/openapi.json, without a NUL behind it; made by build-aux/embed. */
extern const unsigned char openapi_text[];
extern const size_t openapi_text_len;

#endif
