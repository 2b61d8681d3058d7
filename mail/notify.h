/*
 * What a sender wants to hear of a delivery: the DSN parameters of SMTP (RFC 3461). The values are
 * stored; do not change them. Read by command.c, kept by message.h and the store, passed on by
 * relay/, honoured by dsn.c.
 */
#ifndef MAIL_NOTIFY_H
#define MAIL_NOTIFY_H

enum dsn_ret { DSN_RET_NONE, DSN_RET_FULL, DSN_RET_HDRS };

/* A set; 0 = the client did not say, which stands for FAILURE (and DELAY as we like). */
enum dsn_notify { DSN_NEVER = 1, DSN_SUCCESS = 2, DSN_FAILURE = 4, DSN_DELAY = 8 };

/* Longest xtext we take: RFC 3461 4.4 and 4.2. */
enum { DSN_ENVID_MAX = 100, DSN_ORCPT_MAX = 500 };

#endif
