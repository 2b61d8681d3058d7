/*
 * Who may do what: the roles of a caller, and the answer to one that lacks the role it needs. Main
 * loop.
 */
#ifndef CONTROL_ACCESS_H
#define CONTROL_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/token.h"
#include "config/config.h"

struct request;

/*
 * The roles of a user of this machine by `c`: all of them where it has no section access. Asks the
 * system's user and group databases anew, so that nobody keeps what was taken away.
 */
unsigned access_roles_of_user(const struct config *c, uid_t uid);

/* True if its caller may do what needs `role`; else it answered 403: who may, and what the caller
 * may. */
bool access_check(struct request *r, unsigned role);

/* One line, ended, for each name of the section access that this machine does not know. */
void access_check_names(const struct config *c, struct buf *out);

#endif
