/*
 * AUTH of one session (RFC 4954): the exchange, the check off the loop, the answer, which is slow
 * to come when it is no. Called by commands.c and session.c, on the session's loop.
 *
 *   (none) -AUTH without all it needs-> asked (SESSION_AUTH)   auth_ask
 *   asked  -a line-> asked | checking (SESSION_LOGIN)          auth_take_line
 *   checking -right-> (none), logged in                        auth_checked
 *   checking -wrong-> delayed -time is up-> (none), 535        auth_refuse
 *   any    -"*", nonsense-> (none), 501                        auth_cancel
 */
#ifndef RELAY_AUTH_H
#define RELAY_AUTH_H

#include <stdbool.h>
#include <stddef.h>

struct command;
struct session;

/* True if EHLO shall name AUTH to this client: there are users, and nobody can listen in. */
bool auth_is_offered(const struct session *s);
/* The AUTH command. */
void auth_start(struct session *s, const struct command *c);
/* A line in SESSION_AUTH, without its line end. */
void auth_take_line(struct session *s, const char *line, size_t len);
/* Ends the exchange with this reply. */
void auth_cancel(struct session *s, int code, const char *status, const char *text);
/* The session ends; nothing is answered any more. */
void auth_free(struct session *s);

#endif
