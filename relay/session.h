/*
 * One client's SMTP session (RFC 5321), from accept to its end, on one relay loop.
 *
 *   (new)   -implicit TLS-> TLS, else COMMAND   session_start
 *   TLS     -handshake done-> COMMAND           session_secured
 *   COMMAND -STARTTLS-> TLS                     session_start_tls
 *   COMMAND -AUTH, more is asked-> AUTH         auth_ask
 *   AUTH | COMMAND -name and password-> LOGIN   auth_check, input paused
 *   AUTH | LOGIN -right, wrong, cancelled-> COMMAND   auth_over
 *   COMMAND -DATA ok-> DATA                     session_begin_data
 *   COMMAND -BDAT-> CHUNK                       content_begin_chunk
 *   CHUNK   -its octets came, more follow, or it was refused-> COMMAND   content_end_chunk
 *   DATA | CHUNK -end of data-> STORING         intake_complete
 *   DATA | CHUNK -piece to store-> the same     input paused meanwhile (intake_spill)
 *   DATA | CHUNK -end of data, refused-> COMMAND   session_message_done
 *   STORING -stored-> COMMAND                   intake_stored
 *   any     -QUIT, error, end-> ENDED           session_end
 * Where a transaction stands in COMMAND (RFC 5321 4.1.4) is told by `message`: NULL before MAIL,
 * then with or without recipients; and by `intake`: there between the chunks of BDAT.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/id.h"
#include "mail/message.h"
#include "net/conn.h"
#include "relay/relay.h"

enum session_state {
	SESSION_COMMAND,
	SESSION_TLS,
	SESSION_AUTH,
	SESSION_LOGIN,
	SESSION_DATA,
	SESSION_CHUNK,
	SESSION_STORING,
	SESSION_ENDED
};

/* Up to the next CR LF: nothing, or a line whose refusal is still to be told, or was. */
enum session_skip { SESSION_SKIP_NONE, SESSION_SKIP_UNTOLD, SESSION_SKIP_TOLD };

struct auth;
struct intake;

/* A reply that has to wait until the octets of a refused BDAT have been thrown away. */
struct session_refusal {
	int code; /* 0 = none */
	const char *status, *text;
};

struct session {
	LIST_ENTRY(session) next; /* relay_loop.sessions, until ENDED */
	struct relay_loop *rl;
	struct relay_listener *listener;
	struct conn *conn;
	enum session_state state;
	struct policy *policy;                /* of the transaction, or the greeting's; counted */
	struct keyring *keys;                 /* that go with it; counted */
	const struct config_listener *limits; /* in policy's config */
	char id[ID_TEXT_BYTES];               /* for the log */
	char *client;                         /* numeric address */
	char *helo;                           /* NULL before EHLO or HELO */
	bool esmtp;
	bool greeted;
	bool loopback;                   /* the client is on this machine */
	char *user;                      /* who logged in, NULL before */
	struct auth *auth;               /* AUTH, LOGIN */
	struct message *message;         /* NULL outside a transaction */
	struct intake *intake;           /* DATA, CHUNK, STORING, between chunks */
	uint64_t chunk_size, chunk_left; /* octets of the BDAT under way */
	bool chunk_last;
	struct session_refusal chunk_refusal;
	/* Monotonic, 0 = none: when this line, this stretch of content began; what came since. */
	int64_t line_since, content_since;
	uint64_t content_bytes;
	unsigned logins_failed;
	unsigned errors;        /* bad commands since the last message */
	unsigned idle_commands; /* commands but RCPT since the last message */
	char refusal[128];      /* its last 4xx or 5xx, for the log */
	bool mail_refused;      /* what a pipelining client sends behind it is no error */
	enum session_skip skip; /* the rest of a line that was none */
};

/* A listener_start: a socket was dealt to this loop. */
void session_start(void *listener, size_t loop_index, int fd, const char *client);
/* "250 2.1.0 Ok": enhanced status may be NULL (RFC 2034). Replies wait in the connection's queue.
 */
void session_reply(struct session *s, int code, const char *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* One line of a multi-line reply, "250-...". */
void session_reply_more(struct session *s, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Forgets the transaction (RSET, new EHLO, after a message). */
void session_reset(struct session *s);
/*
 * Takes the loop's present policy, and logs out who was removed by it; a transaction under way
 * keeps the one it began with. False if this listener is gone.
 */
bool session_take_policy(struct session *s);
/* False, and the session has ended with 421, if this listener is gone, or has become one with
 * implicit TLS that this session came without. */
bool session_is_welcome(struct session *s);
/* 220, and the handshake; what was known of the client is forgotten (RFC 3207 4.2). */
void session_start_tls(struct session *s);
/* For the files of a session: logs old and new, panics on what the machine above does not have. */
void session_set_state(struct session *s, enum session_state next);
/* For auth.c: to AUTH, LOGIN, or back to COMMAND. */
void session_set_login_state(struct session *s, enum session_state next);
/* 354, and what comes is a message. */
void session_begin_data(struct session *s);
/* A bad command: 421 and the end if the client makes too many mistakes. */
void session_count_error(struct session *s);
/* The same for auth.c in two steps: false, now or with a weight of 0, if there are too many. */
bool session_add_error(struct session *s, uint32_t weight);
void session_end_errors(struct session *s);
/* 421: it only keeps a place. */
void session_end_slow(struct session *s);
/* The end of data came: nothing is read until the store has answered. */
void session_storing(struct session *s);
/* A piece of the content is in the store: more is read. */
void session_go_on(struct session *s);
/* The message was stored or refused; the reply is written: on with the next command. */
void session_message_done(struct session *s);
/* Ends it: sends what is written, then closes. `reason` is for the log. */
void session_end(struct session *s, const char *reason);
/* The loop stops: at once if it is between messages, else after the one under way. */
void session_stop(struct session *s);

#endif
