/*
 * Logins of clients, checked off the relay loops: one thread computes scrypt for all loops, a
 * bounded number waits for it, and each loop remembers for ten minutes what was right, so that an
 * application that connects anew for each message stays fast. What is remembered is an HMAC-SHA256
 * of name, password and the user's hash under a key of this process: a changed users file is seen
 * at once, and memory holds no password.
 */
#ifndef RELAY_LOGIN_H
#define RELAY_LOGIN_H

#include <stdbool.h>

#include "relay/keyring.h"
#include "relay/login_cache.h"

struct login;      /* one check under way */
struct login_desk; /* the thread */
struct loop;

enum login_result {
	LOGIN_RIGHT,
	LOGIN_WRONG,
	LOGIN_BUSY, /* too many wait (64): 454, try again */
	LOGIN_WAIT  /* of login_check(): the answer comes by done() */
};

struct login_desk *login_desk_new(void);
/*
 * After the loops were joined and before they are drained and freed: whoever still waits is
 * answered BUSY in that drain.
 */
void login_desk_free(struct login_desk *desk);

/*
 * Checks name and password (both are copied) against the keyring's users, which it holds on to.
 * RIGHT or BUSY at once, else WAIT, *out is the check, and done(context, RIGHT, WRONG or BUSY) is
 * called once on the loop, never within this call; the check is gone then. An unknown name takes as
 * long as a wrong password. `client` is the numeric address: clients take turns, and who comes with
 * a first check to a full desk displaces one of the client that has most, which is answered BUSY;
 * so none can keep the desk busy for all. Equal checks, as of an application that opens twenty
 * connections, are computed once.
 */
enum login_result login_check(struct login_desk *desk, struct login_cache *cache, struct loop *loop,
			      struct keyring *keys, const char *client, const char *name,
			      const char *password,
			      void (*done)(void *context, enum login_result result), void *context,
			      struct login **out);
/* The session has ended: done() will not be called. On the loop. */
void login_forget(struct login *l);

#endif
