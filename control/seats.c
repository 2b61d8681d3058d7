/*
 * Counts the connections of an evhttp server. It tells of a new one only by asking for a
 * bufferevent, before that has its socket, and never of one that ended. So what came is looked at
 * at the end of the loop's turn, before anything else can have happened to it; and a connection is
 * over when its descriptor no longer is the same socket, which its inode tells.
 */
#include "control/seats.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"

struct seat {
	int fd;
	dev_t device;
	ino_t inode;
};

struct seats {
	struct event *look;
	struct seat *taken;
	size_t taken_count, most;
	struct bufferevent **came; /* in this turn; each holds a reference */
	size_t came_count;
};

static bool
seat_read(int fd, struct seat *seat)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	*seat = (struct seat){.fd = fd, .device = st.st_dev, .inode = st.st_ino};
	return true;
}

static void
seats_sweep(struct seats *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->taken_count; i++) {
		struct seat now;

		if (seat_read(s->taken[i].fd, &now) && now.device == s->taken[i].device &&
		    now.inode == s->taken[i].inode)
			s->taken[kept++] = s->taken[i];
	}
	s->taken_count = kept;
}

static void
seats_look(evutil_socket_t fd, short what, void *context)
{
	struct seats *s = context;
	size_t refused = 0;

	(void)fd;
	(void)what;
	seats_sweep(s);
	for (size_t i = 0; i < s->came_count; i++) {
		struct seat seat;

		if (seat_read(bufferevent_getfd(s->came[i]), &seat)) {
			if (s->taken_count < s->most) {
				s->taken[s->taken_count++] = seat;
			} else {
				/* Its server sees the end of it, and closes. */
				shutdown(seat.fd, SHUT_RDWR);
				refused++;
			}
		}
		bufferevent_decref(s->came[i]);
	}
	s->came_count = 0;
	if (refused > 0)
		log_warn("- http.full connections=%zu refused=%zu", s->taken_count, refused);
}

static struct bufferevent *
seats_come(struct event_base *base, void *context)
{
	struct seats *s = context;
	struct bufferevent *b = bufferevent_socket_new(base, -1, 0);

	if (b == NULL)
		fatal("out of memory");
	bufferevent_incref(b);
	s->came = mem_resize_array(s->came, s->came_count + 1, sizeof(struct bufferevent *));
	s->came[s->came_count++] = b;
	event_active(s->look, 0, 0);
	return b;
}

struct seats *
seats_new(struct event_base *base, struct evhttp *server, size_t most)
{
	struct seats *s = mem_zalloc(sizeof(*s));

	s->most = most;
	s->taken = mem_zalloc(most * sizeof(*s->taken));
	s->look = event_new(base, -1, 0, seats_look, s);
	if (s->look == NULL)
		fatal("out of memory");
	evhttp_set_bevcb(server, seats_come, s);
	return s;
}

void
seats_free(struct seats *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->came_count; i++)
		bufferevent_decref(s->came[i]);
	event_free(s->look);
	free(s->came);
	free(s->taken);
	free(s);
}
