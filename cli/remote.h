/*
 * Where --url leads, and the token for it.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * "https://gate.example/mail" without a slash at its end, for free(); http only where nobody else
 * listens to the wire. NULL and one sentence in `error` otherwise.
 */
char *remote_read_url(const char *text, struct buf *error);
/*
 * The first line of the file, or with NULL the variable MAILFUSE_TOKEN; for remote_free_token().
 * Never an argument, which every user of the machine can see. NULL and one sentence in `error`.
 */
char *remote_read_token(const char *file, struct buf *error);
void remote_free_token(char *token);
/*
 * The file that `file` names, or with NULL the variable MAILFUSE_CA, for free(); it can be read.
 * *ca is NULL where neither is set. False and one sentence in `error`.
 */
bool remote_read_ca(const char *file, char **ca, struct buf *error);

#endif
