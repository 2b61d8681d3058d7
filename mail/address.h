/*
 * Addresses of the envelope: paths of MAIL and RCPT (RFC 5321 4.1.2), their parts, and the form in
 * which domains are compared. Any thread.
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/*
 * RFC 5321 4.5.3.1: 64 octets of local part, 255 of domain, 256 of path. What we make keeps to all
 * three; what clients send may have a longer local part, because VERP senders do.
 */
enum { ADDRESS_LOCAL_MAX = 64, ADDRESS_DOMAIN_MAX = 255, ADDRESS_PATH_MAX = 256 };

struct address {
	/*
	 * local@domain as it was written, without <> and source route. Beyond ASCII only where
	 * `utf8` says so; address_parse() puts A-labels for U-labels. "" = null path.
	 */
	char *text;
	char *local; /* as written; a quoted local part without its quotes and backslashes */
	/*
	 * Lower case, U-labels as A-labels; "[192.0.2.1]", "[ipv6:2001:db8::1]" for a literal; ""
	 * for a null path and for a bare postmaster.
	 */
	char *domain;
	bool utf8; /* `text` has UTF-8 beyond ASCII (RFC 6531): it needs SMTPUTF8 to travel */
};

/*
 * Reads a path at *text: `<` [source route `:`] mailbox `>`, or `<>` where allow_null. Also accepts
 * a bare `postmaster` in `<>` for RCPT (RFC 5321 4.5.1) where allow_postmaster. A source route is
 * read and ignored (RFC 5321 appendix C). Takes UTF-8 in the local part and U-labels in the domain
 * (RFC 6531 3.3) and says so in `utf8`; whether the client may use them is the caller's matter.
 * Refuses: control characters (C1 too) and the rest of what text_is_graphic() refuses, what is no
 * UTF-8, a missing or malformed domain, a domain beyond ASCII that UTS 46 turns into an ASCII one
 * (wide letters: it would be judged by one name and travel under another), text outside the
 * grammar, parts that are too long; takes dots anywhere in the local part and underscores in the
 * domain, which are in use. Moves *text behind the `>`. NULL, or a static reason in plain English
 * that follows "the address" ("has no domain") with all fields of `out` NULL. Memory comes from
 * `arena`.
 */
const char *address_parse_path(const char **text, bool allow_null, bool allow_postmaster,
			       struct arena *arena, struct address *out);

/*
 * The same for a plain address without brackets, as in a configuration or a header field: NULL or a
 * static reason. Here the domain may have U-labels in UTF-8.
 */
const char *address_parse(const char *text, struct arena *arena, struct address *out);

/*
 * A domain in the form in which it is compared: ASCII lower case, IDN as A-labels (libidn2,
 * nontransitional UTS 46), no final dot. NULL if it is no domain name.
 */
char *address_canonical_domain(const char *domain, struct arena *arena);

#endif
