/*
 * 8-bit content for an upstream without 8BITMIME (RFC 6152 3): the message as a stream, with its
 * 8-bit parts as quoted-printable or base64. Called by relay/smtp_transaction.c as the message goes
 * out; on one loop; bounded memory however large the message.
 */
#ifndef MAIL_SEVEN_H
#define MAIL_SEVEN_H

#include <stddef.h>

#include "mail/body.h"

struct seven;

/*
 * Takes header section, empty line and body in any pieces (CRLF line ends) and hands on the same
 * message in 7 bits:
 * - A leaf part whose Content-Transfer-Encoding is 8bit, binary, missing or unknown becomes
 *   quoted-printable (text/..., and what should not have an encoding: message/..., a multipart
 *   without a usable boundary) or base64 (else), and its field says so.
 * - One that says 7bit or nothing keeps its bytes where they are 7-bit indeed. To know, 64 KiB of
 *   it are kept; if it is longer it becomes quoted-printable.
 * - An encoded one keeps its bytes; what is beyond ASCII in it was lost already and becomes `?`. So
 *   do such bytes before and behind the parts of a multipart, which nobody sees.
 * - Multiparts are walked by their boundaries, also nested, to a depth of 20 (deeper is a leaf of
 *   its own); their Content-Transfer-Encoding 8bit or binary becomes 7bit. So does a
 *   message/rfc822, which is walked too.
 * - In multipart/signed and /encrypted nothing 7-bit changes, whatever its size. What is 8-bit
 *   there is against RFC 1847 2.1 and is encoded all the same: the signature is lost either way,
 *   the text is not.
 * - A message without MIME-Version gets one, and Content-Type: text/plain; charset=unknown-8bit
 *   (RFC 1428) if it has none.
 * - Bytes beyond ASCII in header fields leave as they are: there is no 7-bit form that means the
 *   same, and the upstream will say what it thinks.
 * A header section ends before a line that is no field, and after 2 MiB (128 KiB inside).
 */
struct seven *seven_new(void);
void seven_feed(struct seven *s, const char *data, size_t len, body_sink *sink, void *context);
/* The end of the message: hands on what is kept. */
void seven_finish(struct seven *s, body_sink *sink, void *context);
void seven_free(struct seven *s);

#endif
