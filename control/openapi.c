/*
 * GET /v1/openapi.json: the description of this API, as it stands in docs/openapi.json when the
 * daemon is built; tests/unit/test_openapi.c holds it against the table of routes. Called by api.c;
 * main loop.
 */
#include "control/openapi.h"

#include "control/request.h"

void
openapi_get(struct request *r)
{
	static const char *const none[] = {NULL};
	struct buf text = {0};

	if (!request_check_query(r, none))
		return;
	buf_add(&text, (const char *)openapi_text, openapi_text_len);
	request_reply_bytes(r, "application/json", &text);
}
