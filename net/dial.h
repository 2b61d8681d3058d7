/*
 * To a host by name or address: resolves it, then tries each of its addresses in the resolver's
 * order, without ever blocking. For net/conn.c only; on the connection's loop.
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdint.h>

#include "net/loop.h"

struct dial;

/* `fd` is a connected, non-blocking socket, the caller's now; or -1, and `why` is a static text. */
typedef void dial_done(void *context, int fd, const char *why);

/*
 * done() is called once, never within this call, unless dial_cancel() comes first. `limit`:
 * microseconds for each address.
 */
struct dial *dial_start(struct loop *l, const char *host, uint16_t port, int64_t limit,
			dial_done *done, void *context);
void dial_cancel(struct dial *d);

#endif
