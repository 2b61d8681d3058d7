/*
 * One message and its recipients, from MAIL to the upstream's answer. Owned by a session, then by
 * its delivery, on one relay loop; while a store job runs the writer may read it and nobody may
 * write it.
 */
#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "mail/address.h"
#include "mail/chunks.h"
#include "mail/notify.h"
#include "mail/verdict.h"

struct recipient {
	struct address address; /* as the client gave it */
	const char *final;      /* where it may go: address.text, or what `rewrite` made of it */
	unsigned notify;        /* enum dsn_notify; 0 = not said */
	const char *orcpt;      /* "" if none */
	struct verdict verdict;
};

enum {
	MESSAGE_SAMPLE_MAX = 262144, /* of a body, for content rules */
	MESSAGE_CAMPAIGN_MAX = 200   /* bytes of a campaign's id */
};

/* How message_apply() shall change the header; filled in by gate_judge(). */
struct message_edit {
	const char *hostname;       /* ours, for Received */
	const char *subject_prefix; /* UTF-8, "" for none */
	bool harmless;              /* rewrite To, Cc, Reply-To, Resent-* */
	/* The address as it may stand in a header: the same pointer if it is allowed. */
	const char *(*map)(void *context, const char *address);
	void *context;
};

struct message {
	struct arena arena;
	uint64_t id;             /* 0 until intake gives one */
	int64_t accepted_at;     /* wall clock, microseconds */
	int64_t begun_at;        /* clock_mono() at MAIL; 0 = no client sent it */
	int64_t counted_at;      /* clock_steady(), when it was judged; 0 = accepted_at */
	const char *environment; /* "staging"; set by the gate */
	const char *source;      /* who sends: its address, and a login once there is AUTH */
	const char *client;      /* IP address, text */
	const char *helo;
	const char *protocol; /* "ESMTPSA", "UTF8SMTP"; for Received (RFC 3848, RFC 6531 4.3) */
	const char *tls;      /* "TLSv1.3 with cipher ...", for Received; "" if none */
	struct address sender;
	bool eightbit; /* its content has bytes beyond ASCII */
	bool smtputf8; /* MAIL SMTPUTF8 */
	enum dsn_ret ret;
	const char *envid; /* xtext; "" if none */
	bool report;       /* our own notification: no notification is ever sent about it */
	struct recipient *recipients;
	size_t recipient_count, recipient_cap;
	size_t counted; /* what message_count_memory() added to the gauge */

	struct buf
	    header; /* header section, CRLF lines, no empty line; rewritten by message_apply() */
	bool no_empty_line; /* the data ended before one: there is no body */
	struct chunks
	    body; /* what follows the empty line; empty chunks that the store took already */
	uint64_t body_bytes; /* of the whole body */
	bool body_unknown;   /* nobody says what is in it: a trace, `explain` without a message */
	uint32_t chunks_stored;  /* how many chunks the store has already taken; 0 = all still in
				    `body` */
	const char *subject;     /* decoded UTF-8, "" if none; set by message_read_header() */
	const char *subject_key; /* its normal form */
	const char *campaign;    /* X-Mailfuse-Campaign, "" if none */
	uint32_t audience;       /* X-Mailfuse-Audience, recipients; 0 = not declared */
	/* What is wrong with those two fields, with the next step; NULL if nothing. Such a message
	 * is refused. */
	const char *declaration_error;
	/* The first MESSAGE_SAMPLE_MAX bytes of a body of which the store has taken chunks, kept
	 * where gate_wants_body(); else empty, and the beginning is in `body`. */
	struct buf sample;
	const char *header_from; /* From field, decoded, for people */
	struct message_edit edit;
};

struct message *message_new(void);
void message_free(struct message *m);
/* Copies the address. The pointer is good until the next call; `final` starts as address.text. */
struct recipient *message_add_recipient(struct message *m, const struct address *address);
/*
 * Counts what it takes beside its body into METRIC_BODY_BYTES_NOW (a body's chunks count
 * themselves); to be called again when that has grown. message_free() takes it off.
 */
void message_count_memory(struct message *m);
/* Copies a struct address into the message's arena. */
void message_set_sender(struct message *m, const struct address *address);

/*
 * Fills subject, subject_key, campaign, audience, declaration_error, header_from out of `header`.
 * Where a field is there several times the first one counts: most readers show that one; but two
 * declarations that differ are an error, as is an audience without a campaign, one that is no
 * number from 1 to 4294967295, or a campaign of more than MESSAGE_CAMPAIGN_MAX bytes. Cheap; no
 * GMime for plain ASCII.
 */
void message_read_header(struct message *m);

/*
 * Rewrites `header` into the form that leaves, after the gate has judged; in
 * message_apply.c. Fields that are not named here keep their bytes and their order.
 * - Removes Bcc, Resent-Bcc and every X-Mailfuse-*.
 * - With edit.harmless maps To, Cc, Reply-To, Resent-To, Resent-Cc, Resent-Reply-To, and where
 *   receipts, errors and replies go (Disposition-Notification-To, Return-Receipt-To, Errors-To,
 *   Mail-Followup-To, Mail-Reply-To, ...). What a changed field said stays in one
 *   X-Mailfuse-Original-NAME each; a field with no address left goes.
 * - Puts edit.subject_prefix before the first Subject unless it is there, perhaps behind "Re:" (RFC
 *   2047 respected); a missing Subject is added.
 * - Adds Date and Message-ID where missing (RFC 6409 8), X-Mailfuse-Environment, -Source, -Id, and
 *   on top `Received: from HELO ([IP]) (using TLS) by HOST (mailfuse) with PROTOCOL id ID; DATE`.
 *   All of that is ASCII: a field of ours never makes a message need SMTPUTF8.
 * - A line that is no field ends the header section: it and what follows become body, an empty line
 *   before them.
 */
void message_apply(struct message *m);

/* How many `Received` fields it has (RFC 5321 6.3). */
size_t message_count_received(const struct message *m);
/*
 * True if this very gate has sent it before: an X-Mailfuse-Id, or a Received that we wrote, with an
 * id of this store (base/id.h). To be asked before message_apply().
 */
bool message_was_here(const struct message *m);
/*
 * True if it cannot travel without SMTPUTF8 (RFC 6531): the client said so, and its sender or its
 * header section is beyond ASCII. A recipient beyond ASCII is a matter of its own. O(header).
 */
bool message_needs_smtputf8(const struct message *m);

#endif
