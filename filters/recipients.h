/*
 * The recipients filter: who may be written to from an environment, and what becomes of the others.
 * Pure; memory is the message's arena.
 */
#ifndef FILTERS_RECIPIENTS_H
#define FILTERS_RECIPIENTS_H

#include "filters/policy.h"
#include "mail/message.h"

/* gate_recipient() with the environment found; e NULL = the policy has none of that name: held. */
void recipient_judge(const struct policy_environment *e, struct message *m, struct recipient *r);

/* Holds one under `rule`: one batch for {environment, source}. */
void recipient_hold(struct message *m, struct recipient *r, const char *rule, const char *reason);
/* Everything that would leave. */
void recipients_hold_all(struct message *m, const char *rule, const char *reason);
/* The same, dropped. */
void recipients_drop_all(struct message *m, const char *rule, const char *reason);

bool recipient_is_allowed(const struct policy_environment *e, const struct address *address);

/*
 * `rewrite_to` for one address: %u local part, %d domain, %e environment, %%. What may not stand in
 * its new place becomes '_' (in a domain '-'), dots that would make it illegal too; '=' stays,
 * since no domain has one: the last is always the template's. A local part over 64 octets is cut
 * and ends in a hash of the whole. NULL if no valid address comes out.
 */
const char *recipient_rewrite(const char *rewrite_to, const char *environment, const char *local,
			      const char *domain, struct arena *arena);

/* How an address of a header may stand in what leaves: the same pointer if it is allowed. */
const char *recipient_make_harmless(const struct policy_environment *e, const char *address,
				    struct arena *arena);

#endif
