/*
 * Messages of a copy or an export on their way back into mailfused, one by one (POST /v1/import).
 */
#ifndef CLI_BRING_H
#define CLI_BRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"

/* Content of one message; beside the rest, what a call of 46 MB has room for as base64. */
enum { BRING_CONTENT_MAX = 33 << 20 };

struct bring {
	struct command *c;
	json_t *open;    /* the batch as it is to be opened */
	json_t *batches; /* that it became: ids by environment */
	char *batch;     /* the last of them; NULL before the first message */
	uint64_t messages, added, skipped;
	uint64_t too_large; /* messages; each was told */
	int result;         /* of the first call that failed; CLIENT_DONE */
};

/*
 * `message` has all fields of docs/api.md but content_base64; `deliveries` those that come back.
 * Takes both. False once a call has failed.
 */
bool bring_message(struct bring *b, json_t *message, json_t *deliveries, const void *content,
		   size_t len);
/* Says what came back; the exit code. Frees what it holds. */
int bring_finish(struct bring *b);

#endif
