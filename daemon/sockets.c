/*
 * The listening sockets, before there is a relay to serve them. Called once by daemon.c, on the
 * main thread, while the process may still bind low ports; relay_new() takes the sockets over.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/daemon.h"
#include "net/listener.h"

int *
sockets_open(const struct config *c, struct buf *error)
{
	int *sockets = mem_zalloc((c->listener_count + 1) * sizeof(*sockets));
	bool ok = true;
	size_t i;

	for (i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];

		sockets[i] = listener_open(l->name, l->host, l->port, error);
		if (sockets[i] >= 0)
			continue;
		buf_add_char(error, '\n');
		ok = false;
	}
	if (ok)
		return sockets;
	for (i = 0; i < c->listener_count; i++)
		if (sockets[i] >= 0)
			close(sockets[i]);
	free(sockets);
	return NULL;
}
