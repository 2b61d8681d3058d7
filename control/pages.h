/*
 * The console's pages, as web/build made them and assets.h has them. Main loop.
 */
#ifndef CONTROL_PAGES_H
#define CONTROL_PAGES_H

#include <stdbool.h>

struct request;

/* True if the path is for pages and not for the API: everything outside of /v1 and /metrics. */
bool pages_take(const char *path);
/*
 * Answers a GET with the file of that path, the page for the addresses that the console knows, or
 * 404. Takes no token: nothing of the gate is in them.
 */
void pages_get(struct request *r);

#endif
