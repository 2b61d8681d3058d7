/*
 * Seats of an evhttp server. It tells of a new connection only by asking for a bufferevent, before
 * that has its socket, and never of one that ended. So what came is looked at at the end of the
 * loop's turn, before anything else can have happened to it; each seat holds a reference to its
 * bufferevent, and the server has let go of it when its callbacks are gone. What goes over the wire
 * is seen by callbacks of the two buffers. Made by api.c; main loop.
 */
#include "control/seats.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/headers.h"
#include "net/client_name.h"

/*
 *               first byte           seats_answering()             all taken
 *     WAITING ------------> READING -------------------> ANSWERING ----------+
 *        ^                     ^ from the accept on                          |
 *        |                     |                  more has come meanwhile    |
 *        +---------------------+---------------------------------------------+
 *
 * The next piece of a stream leads from WAITING to ANSWERING.
 */
enum phase { WAITING, READING, ANSWERING };

struct seat {
	LIST_ENTRY(seat) next;
	struct seats *seats;
	struct bufferevent *stream;
	struct evbuffer_cb_entry *input, *output;
	char address[CLIENT_NAME_BYTES]; /* "" until it has its socket */
	bool seated;                     /* was looked at */
	enum phase phase;
	int64_t since; /* mono, of the phase */
	size_t bytes;  /* of the request that came, or of the answer that went */
	bool ended;    /* its socket is shut: the server will see it */
};

/* Lines of the log that strangers can have written as often as they like: one a second of a kind,
 * which says how many were left out since the last. */
struct seldom {
	int64_t last; /* mono, 0 = never */
	size_t left_out;
};

struct seats {
	const struct seats_rules *rules;
	struct bufferevent *(*make)(void *context, struct event_base *base);
	void *context;
	struct event *look, *tick;
	LIST_HEAD(, seat) list;
	struct seldom unread, slow, full;
};

/* True if a line may be written; then *left_out is what it has to tell. */
static bool
seldom_now(struct seldom *s, size_t *left_out)
{
	const int64_t now = clock_mono();

	if (s->last != 0 && now - s->last < CLOCK_SECOND) {
		s->left_out++;
		return false;
	}
	*left_out = s->left_out;
	*s = (struct seldom){.last = now > 0 ? now : 1};
	return true;
}

static void
seat_set_phase(struct seat *t, enum phase phase)
{
	t->phase = phase;
	t->since = clock_mono();
	t->bytes = 0;
}

/* Its server sees the end of it, and closes. */
static void
seat_end(struct seat *t)
{
	shutdown(bufferevent_getfd(t->stream), SHUT_RDWR);
	t->ended = true;
}

static void
seat_free(struct seat *t)
{
	evbuffer_remove_cb_entry(bufferevent_get_input(t->stream), t->input);
	evbuffer_remove_cb_entry(bufferevent_get_output(t->stream), t->output);
	bufferevent_decref(t->stream);
	LIST_REMOVE(t, next);
	free(t);
}

/* ---- what goes over the wire */

/* What it sent of a request that is not whole, or behind one that is being answered: libevent reads
 * on while an answer goes. */
static size_t
seat_unread(const struct seat *t)
{
	return t->phase == READING ? t->bytes
				   : evbuffer_get_length(bufferevent_get_input(t->stream));
}

/* Whoever has sent the most goes: together they could fill the memory before one is known. */
static void
seats_limit_unread(struct seats *s)
{
	struct seat *t, *largest = NULL;
	size_t unread = 0, most = 0, left_out;

	LIST_FOREACH (t, &s->list, next) {
		size_t own = t->ended ? 0 : seat_unread(t);

		unread += own;
		if (own > most) {
			most = own;
			largest = t;
		}
	}
	if (unread <= s->rules->unread_most || largest == NULL)
		return;
	if (seldom_now(&s->unread, &left_out))
		log_warn("- http.full unread=%zu refused=1 client=%s left_out=%zu", unread,
			 largest->address, left_out);
	seat_end(largest);
}

static void
seat_came(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *context)
{
	struct seat *t = context;

	(void)buffer;
	if (info->n_added == 0)
		return;
	if (t->phase == WAITING)
		seat_set_phase(t, READING);
	if (t->phase == READING)
		t->bytes += info->n_added;
	seats_limit_unread(t->seats);
}

/*
 * The status line of an answer that nobody announced is libevent's own, of what it could not read:
 * what every answer says is put behind it, before its other headers come.
 */
static bool
is_own_error(struct evbuffer *buffer, const struct evbuffer_cb_info *info)
{
	char line[64];
	ssize_t n = evbuffer_copyout(buffer, line, sizeof(line));

	return info->orig_size == 0 && n > 12 && (size_t)n < sizeof(line) &&
	       strncmp(line, "HTTP/1.", 7) == 0 && (line[9] == '4' || line[9] == '5') &&
	       line[n - 1] == '\n' && line[n - 3] != '\n';
}

static void
seat_goes(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *context)
{
	struct seat *t = context;

	if (info->n_added > 0 && t->phase == READING && is_own_error(buffer, info)) {
		seat_set_phase(t, ANSWERING);
		if (evbuffer_add(buffer, headers_security_text, strlen(headers_security_text)) != 0)
			fatal("out of memory");
	} else if (info->n_added > 0 && t->phase == WAITING) {
		seat_set_phase(t, ANSWERING); /* the next piece of a stream */
	}
	if (info->n_deleted == 0 || t->phase != ANSWERING)
		return;
	t->bytes += info->n_deleted;
	if (evbuffer_get_length(buffer) == 0) {
		size_t behind = seat_unread(t);

		seat_set_phase(t, behind > 0 ? READING : WAITING);
		t->bytes = behind;
	}
}

void
seats_answering(struct seats *s, const struct bufferevent *stream)
{
	struct seat *t;

	LIST_FOREACH (t, &s->list, next)
		if (t->stream == stream)
			seat_set_phase(t, ANSWERING);
}

/* ---- who may stay */

static bool
is_late(const struct seat *t, int64_t now)
{
	const struct seats_patience *p =
	    t->phase == READING ? &t->seats->rules->request : &t->seats->rules->answer;

	/* Waiting ones are the server's, and so is an answer that is not there yet ours. */
	if (t->phase == WAITING ||
	    (t->phase == ANSWERING && evbuffer_get_length(bufferevent_get_output(t->stream)) == 0))
		return false;
	return now - t->since > p->time + (int64_t)(t->bytes / p->bytes) * CLOCK_SECOND;
}

/* True if the server has freed it. */
static bool
is_gone(const struct seat *t)
{
	bufferevent_event_cb event;

	bufferevent_getcb(t->stream, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void
seats_sweep(struct seats *s)
{
	int64_t now = clock_mono();
	size_t left_out;

	for (struct seat *t = LIST_FIRST(&s->list), *next; t != NULL; t = next) {
		next = LIST_NEXT(t, next);
		if (is_gone(t)) {
			bufferevent_disable(t->stream, EV_READ | EV_WRITE);
			seat_free(t);
		} else if (!t->ended && is_late(t, now)) {
			if (seldom_now(&s->slow, &left_out))
				log_info("- http.slow client=%s bytes=%zu what=%s left_out=%zu",
					 t->address, t->bytes,
					 t->phase == READING ? "request" : "answer", left_out);
			seat_end(t);
		}
	}
}

static void
seats_tick(evutil_socket_t fd, short what, void *context)
{
	struct seats *s = context;

	(void)fd;
	(void)what;
	seats_sweep(s);
	if (LIST_EMPTY(&s->list))
		event_del(s->tick);
}

/* ---- who comes */

static void
seat_find_address(struct seat *t)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	char text[INET6_ADDRSTRLEN] = "?";

	if (getpeername(bufferevent_getfd(t->stream), (struct sockaddr *)&peer, &len) == 0)
		inet_ntop(peer.ss_family,
			  peer.ss_family == AF_INET6
			      ? (const void *)&((struct sockaddr_in6 *)&peer)->sin6_addr
			      : (const void *)&((struct sockaddr_in *)&peer)->sin_addr,
			  text, sizeof(text));
	client_name(text, t->address);
}

static size_t
seats_count(const struct seats *s, const char *address)
{
	const struct seat *t;
	size_t count = 0;

	LIST_FOREACH (t, &s->list, next)
		count += !t->ended && (address == NULL || strcmp(t->address, address) == 0);
	return count;
}

/* Whoever waits for an answer of ours stays; whoever does not take one may go. */
static bool
may_go(const struct seat *t)
{
	return !t->ended && (t->phase != ANSWERING ||
			     evbuffer_get_length(bufferevent_get_output(t->stream)) > 0);
}

static bool
goes_before(const struct seat *t, const struct seat *other)
{
	if ((t->phase == ANSWERING) != (other->phase == ANSWERING))
		return other->phase == ANSWERING;
	return t->since < other->since;
}

/*
 * Who goes for the newcomer: of the address that has the most, if that is more than its own, the
 * one that has been silent the longest, or takes its answer for the longest; else itself.
 */
static struct seat *
seats_choose(struct seats *s, struct seat *newcomer)
{
	size_t most = seats_count(s, newcomer->address);
	struct seat *t, *chosen = newcomer;

	LIST_FOREACH (t, &s->list, next) {
		size_t count = may_go(t) ? seats_count(s, t->address) : 0;

		if (count > most ||
		    (chosen != newcomer && count == most && goes_before(t, chosen))) {
			chosen = t;
			most = count;
		}
	}
	return chosen;
}

static void
seats_look(evutil_socket_t fd, short what, void *context)
{
	struct seats *s = context;
	size_t refused = 0, left_out;
	struct seat *t;

	(void)fd;
	(void)what;
	seats_sweep(s);
	LIST_FOREACH (t, &s->list, next)
		if (t->address[0] == '\0')
			seat_find_address(t);
	/* The latest first: of those that came at once it is the last that finds no seat. */
	LIST_FOREACH (t, &s->list, next) {
		if (!t->seated && !t->ended && seats_count(s, NULL) > s->rules->most) {
			seat_end(seats_choose(s, t));
			refused++;
		}
		t->seated = true;
	}
	if (refused > 0 && seldom_now(&s->full, &left_out))
		log_warn("- http.full connections=%zu refused=%zu left_out=%zu",
			 seats_count(s, NULL), refused, left_out);
}

static struct bufferevent *
seats_come(struct event_base *base, void *context)
{
	static const struct timeval second = {1, 0};
	struct seats *s = context;
	struct seat *t = mem_zalloc(sizeof(*t));

	t->stream = s->make != NULL ? s->make(s->context, base)
				    : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	/* Without one the server would make its own, which is no TLS. */
	if (t->stream == NULL)
		fatal("out of memory");
	bufferevent_incref(t->stream);
	t->seats = s;
	seat_set_phase(t, READING);
	t->input = evbuffer_add_cb(bufferevent_get_input(t->stream), seat_came, t);
	t->output = evbuffer_add_cb(bufferevent_get_output(t->stream), seat_goes, t);
	if (t->input == NULL || t->output == NULL)
		fatal("out of memory");
	LIST_INSERT_HEAD(&s->list, t, next);
	event_active(s->look, 0, 0);
	if (!event_pending(s->tick, EV_TIMEOUT, NULL) && event_add(s->tick, &second) != 0)
		fatal("out of memory");
	return t->stream;
}

struct seats *
seats_new(struct event_base *base, struct evhttp *server, const struct seats_rules *rules,
	  struct bufferevent *(*make)(void *context, struct event_base *base), void *context)
{
	struct seats *s = mem_zalloc(sizeof(*s));

	s->rules = rules;
	s->make = make;
	s->context = context;
	LIST_INIT(&s->list);
	s->look = event_new(base, -1, 0, seats_look, s);
	s->tick = event_new(base, -1, EV_PERSIST, seats_tick, s);
	if (s->look == NULL || s->tick == NULL)
		fatal("out of memory");
	evhttp_set_bevcb(server, seats_come, s);
	return s;
}

void
seats_free(struct seats *s)
{
	if (s == NULL)
		return;
	while (!LIST_EMPTY(&s->list))
		seat_free(LIST_FIRST(&s->list));
	event_free(s->look);
	event_free(s->tick);
	free(s);
}
