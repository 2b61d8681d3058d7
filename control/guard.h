/*
 * Who asks over the TCP port: the token, and that a browser was not tricked into asking. Main loop.
 */
#ifndef CONTROL_GUARD_H
#define CONTROL_GUARD_H

#include <stdbool.h>

struct guard;
struct request;

/* `host` is the address that is served, without its port. */
struct guard *guard_new(const char *host);
void guard_free(struct guard *g);
/*
 * Sets who asks and its roles; else it answered: 421 (another Host), 403 (another Origin), 401 (no
 * token, or none of ours), 429 (too many wrong ones).
 */
bool guard_admit(struct guard *g, struct request *r);

#endif
