/*
 * What net/conn.c (a connection's life) and net/conn_io.c (its bytes) share: for these two only. On
 * the connection's loop.
 */
#ifndef NET_CONN_IO_H
#define NET_CONN_IO_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "net/conn.h"

struct dial;
struct evbuffer;
struct ssl_st;

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_CLEARING,
	CONN_SHAKING,
	CONN_FINISHING,
	CONN_ENDED
};

struct conn {
	struct loop_rest rest; /* while FINISHING: nobody else knows it then */
	struct loop_turn turn; /* something is to be sent or looked at: conn_turn() */
	struct loop *loop;
	const struct conn_owner *owner;
	void *context;
	int fd; /* -1 while CONNECTING */
	struct event reading, writing;
	bool reads, writes; /* they are added */
	enum conn_state state;
	bool dialed;       /* by us: an upstream's, not a client's */
	bool paused, deaf; /* by the owner; because the input has ended */
	bool look;         /* `in` is to be offered again */
	bool flushing;
	bool ask_drained;  /* conn_ask_drained(): the owner waits for it */
	bool freed;        /* conn_free() came while a callback ran */
	int callbacks;     /* depth */
	struct dial *dial; /* CONNECTING */
	struct buf in;     /* what the owner has not used, from in_used on */
	size_t in_used;
	struct evbuffer *out; /* made by the first write */
	size_t lost;          /* of what was in it, once nothing can be sent any more */
	int64_t read_limit, write_limit;
	/* Made when it is needed: of silence, of the handshake, of FINISHING. */
	struct loop_timer *timer;
	/* TLS, from conn_start_tls() on. */
	struct ssl_st *tls;
	size_t clear_left; /* CLEARING: what of `out` goes in clear */
	bool secured;
	struct conn_security security;
	char *peer_name;
	char *peer; /* made when it is asked for */
};

/* What became of an attempt to send all. */
enum conn_sent { SENT_ALL, SENT_BLOCKED, SENT_FAILED };

/* conn_io.c */
void conn_watch_input(struct conn *c, bool on);
/* The owner's limit is on the time that passes while nothing can be sent. */
void conn_watch_output(struct conn *c, bool on);
/* Sets the owner's limit of `read` anew, or takes it away where no input is wanted. */
void conn_watch_silence(struct conn *c);
/* Until secured() the limit and the reading are the handshake's, not the owner's. */
bool conn_is_shaking(const struct conn *c);
bool conn_wants_input(const struct conn *c);
/* The end of a callback, before which `callbacks` was counted up: what it wrote goes out. */
void conn_leave(struct conn *c);
/* closed(), and nothing comes any more. */
void conn_end_with(struct conn *c, enum conn_end end, const char *why);
/* Hands the kernel what it takes; no callback within. */
enum conn_sent conn_send(struct conn *c);
/* The loop's callbacks. */
void conn_turn(struct loop_turn *turn);
void conn_readable(evutil_socket_t fd, short what, void *context);
void conn_writable(evutil_socket_t fd, short what, void *context);

/* conn.c */
void conn_destroy(struct conn *c);
void conn_set_timer(struct conn *c, int64_t limit);

#endif
