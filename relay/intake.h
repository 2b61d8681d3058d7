/*
 * A message on its way in: from 354 to the writer's answer. Made by session_begin_data(); freed by
 * itself after the store has answered, or, when the client went away, after what it had given to
 * the store is taken back. All on the session's loop.
 *
 *   HEADER -empty line-> BODY -end of data-> STORING -stored-> (freed)
 *   HEADER | BODY -end of data, refused-> (freed)
 *   HEADER | BODY -client lost-> (freed, after STORE_ABANDON if chunks were stored)
 */
#ifndef RELAY_INTAKE_H
#define RELAY_INTAKE_H

#include <stdbool.h>
#include <stddef.h>

struct intake;
struct message;
struct relay_loop;
struct session;

/* True while so much waits for the writer or lies in memory that MAIL gets 451. */
bool intake_is_overloaded(const struct relay_loop *rl);
/* True if this message has grown beyond the ordinary while memory is short: it is refused. */
bool intake_is_too_much(const struct relay_loop *rl, struct message *m);
/* Takes the session's message over. */
struct intake *intake_start(struct session *s);
/* Bytes after 354; returns how many were used. May end in session_message_done(). */
size_t intake_feed(struct intake *in, const char *data, size_t len);
/*
 * Octets of a BDAT (RFC 3030), all of which are used; `last`: they end the message, which may end
 * in session_message_done(). False, and nothing was used, while intake_is_waiting().
 */
bool intake_feed_chunk(struct intake *in, const char *data, size_t len, bool last);
/* A BDAT that was not the last has come. False if the message is refused: then the reply is given
 * and the intake gone. */
bool intake_end_chunk(struct intake *in);
/* True while a chunk is on its way to the store and no more is to be read. */
bool intake_is_waiting(const struct intake *in);
/* The client is gone: what was not complete never leaves. */
void intake_lost_session(struct intake *in);

#endif
