/*
 * One client's SMTP session (RFC 5321), from accept to its end, on one relay loop.
 *
 *   COMMAND -DATA ok-> DATA             session_begin_data
 *   DATA    -end of data-> STORING      intake_complete
 *   DATA    -chunk to store-> DATA      input paused meanwhile (intake_spill)
 *   STORING -stored-> COMMAND           intake_stored
 *   any     -QUIT, error, end-> ENDED   session_end
 * Where a transaction stands in COMMAND (RFC 5321 4.1.4) is told by `message`: NULL before MAIL,
 * then with or without recipients.
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

enum session_state { SESSION_COMMAND, SESSION_DATA, SESSION_STORING, SESSION_ENDED };

struct intake;

struct session {
	LIST_ENTRY(session) next; /* relay_loop.sessions, until ENDED */
	struct relay_loop *rl;
	struct relay_listener *listener;
	struct conn *conn;
	enum session_state state;
	struct policy *policy;                /* of the transaction, or the greeting's; counted */
	const struct config_listener *limits; /* in policy's config */
	char id[ID_TEXT_BYTES];               /* for the log */
	char *client;                         /* numeric address */
	char *helo;                           /* NULL before EHLO or HELO */
	bool esmtp;
	const struct config_environment *environment; /* in policy's config */
	struct message *message;                      /* NULL outside a transaction */
	struct intake *intake;                        /* DATA, STORING */
	unsigned errors;                              /* bad commands since the last message */
	unsigned idle_commands;                       /* commands but RCPT since the last message */
	bool mail_refused;  /* what a pipelining client sends behind it is no error */
	bool line_too_long; /* the rest of an endless line is skipped */
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
/* Takes the loop's present policy for the transaction that begins; false if this listener is gone.
 */
bool session_take_policy(struct session *s);
/* 354, and what comes is a message. */
void session_begin_data(struct session *s);
/* The end of data came: nothing is read until the store has answered. */
void session_storing(struct session *s);
/* The message was stored or refused; the reply is written: on with the next command. */
void session_message_done(struct session *s);
/* Ends it: sends what is written, then closes. `reason` is for the log. */
void session_end(struct session *s, const char *reason);
/* The loop stops: at once if it is between messages, else after the one under way. */
void session_stop(struct session *s);

#endif
