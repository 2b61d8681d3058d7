/*
 * Listening sockets. Loop 0 accepts and deals the sockets out to the relay loops in turn.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/loop.h"

struct listener;

/* On the loop that will serve the connection. Takes the (non-blocking) socket; `client` is its
 * numeric address. */
typedef void listener_start(void *context, size_t loop_index, int fd, const char *client);

/*
 * Binds and listens: a socket for listener_new(), or -1 and a reason with the next step in `error`.
 * Apart from it, because a port below 1024 is bound before the process gives up its rights.
 */
int listener_open(const char *name, const char *host, uint16_t port, struct buf *error);
/*
 * Takes over a listening socket, of listener_open() or of the service manager; accepts nothing
 * before listener_resume(). `loops` must outlive the listener. Main thread, before the loops run.
 */
struct listener *listener_new(const char *name, int fd, struct loop **loops, size_t loop_count,
			      listener_start *start, void *context);
/* "127.0.0.1:2525", with the port that was bound. */
const char *listener_address(const struct listener *l);
/* On loop 0, or before the loops run. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
void listener_free(struct listener *l);

#endif
