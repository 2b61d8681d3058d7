/*
 * xtext of RFC 3461 4: printable ASCII but `+` and `=`, those and all else as `+XX`. Any thread.
 */
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include <stdbool.h>

#include "base/buf.h"

bool xtext_is_valid(const char *text);
/* Appends what it stands for; bytes that are no printable ASCII or UTF-8 become `?`. False if it is
 * no xtext, and then nothing is appended. */
bool xtext_decode(const char *text, struct buf *out);
void xtext_encode(const char *text, struct buf *out);

#endif
