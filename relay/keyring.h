/*
 * What a configuration needs from other files than its own: certificates, keys, trusted CAs, the
 * users file, the tokens file. Read on the main thread at the start (while the process may still
 * read keys) and at each reload, then immutable, counted, and shared by the loops like the policy
 * beside which it travels.
 */
#ifndef RELAY_KEYRING_H
#define RELAY_KEYRING_H

#include "base/buf.h"
#include "config/config.h"
#include "config/tokens.h"
#include "config/users.h"
#include "net/tls.h"

struct keyring;

/* NULL and one line an error in `errors`, "FILE:LINE: why; what to do". Warns in the log of
 * certificates that have expired or will within 14 days. */
struct keyring *keyring_new(const struct config *c, struct buf *errors);
struct keyring *keyring_ref(struct keyring *k);
void keyring_unref(struct keyring *k);
/* NULL where the listener has no TLS, or is not in its configuration. */
struct tls *keyring_listener(const struct keyring *k, const char *name);
/* A line in the log for each certificate of ours that is ending; `c` is its configuration. */
void keyring_warn_ending(const struct keyring *k, const struct config *c);
/* True if its certificate has expired, or will within 14 days. */
bool keyring_is_ending(const struct tls *tls);
/* NULL where tls = off. */
struct tls *keyring_upstream(const struct keyring *k, const char *name);
/* NULL where there is no users file. */
const struct users *keyring_users(const struct keyring *k);
/* The HTTP port's; NULL where it has no TLS. */
struct tls *keyring_http(const struct keyring *k);
/* NULL where there is no section http. */
const struct tokens *keyring_tokens(const struct keyring *k);

#endif
