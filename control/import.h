/*
 * POST /v1/import: a message of a backup or an export comes into a batch, held.
 */
#ifndef CONTROL_IMPORT_H
#define CONTROL_IMPORT_H

#include <stddef.h>

struct request;

/* As JSON with its content as base64; content of up to some 33 MB. */
enum { IMPORT_BODY_MAX = 46 << 20 };

void import_post(struct request *r);

#endif
