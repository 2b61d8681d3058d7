/*
 * What follows the path of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531),
 * RET, ENVID, NOTIFY, ORCPT (RFC 3461), AUTH (RFC 4954). Only command.c calls it. Any thread.
 */
#ifndef MAIL_PARAMETERS_H
#define MAIL_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/command.h"

/* Reads blanks and NAME or NAME=VALUE, in any order; sets the error of `c` at the first bad one. */
void parameters_read(struct command *c, const char *text, struct arena *arena);
/*
 * 1 to 20 digits (RFC 1870 3, RFC 3030 2). What is beyond 64 bits counts as the largest size, which
 * every limit refuses.
 */
bool parameters_read_size(const char *value, uint64_t *size);

#endif
