/*
 * Holds rows of the audit log against their hash chain (base/audit_chain.h), as they come from
 * mailfused or out of an export, and says what is wrong first. Hostile: whoever rewrote the
 * database wrote the rows. One thread, constant memory.
 */
#ifndef CLI_AUDIT_CHECK_H
#define CLI_AUDIT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/audit_chain.h"
#include "base/buf.h"

struct audit_head {
	int64_t id; /* 0 = none */
	char hash[AUDIT_CHAIN_HEX_BYTES];
};

/* Zero-initialised: from row 1 on. */
struct audit_check {
	struct audit_head last; /* the newest row so far */
	unsigned char hash[AUDIT_CHAIN_BYTES];
	int64_t at; /* its time */
	uint64_t rows;
	int64_t start;            /* rows up to this one are not there on purpose: an export */
	struct audit_head wanted; /* a head that was noted elsewhere; id 0 = none */
	bool wanted_seen;
	uint64_t times_back; /* rows that are earlier than the one before */
	int64_t times_back_row;
	/* The first thing that is wrong, and the row that it is about; empty while all is whole. */
	struct buf problem;
	int64_t problem_row;
};

void audit_check_free(struct audit_check *c);
/* A row as GET /v1/log gives it. False once something is wrong. */
bool audit_check_row(struct audit_check *c, const json_t *row);
/* After the last row: the head that stands beside the rows (NULL = there is none to compare), and
 * the wanted one. */
bool audit_check_end(struct audit_check *c, const struct audit_head *head);
/* "57:ab12...". False if it is no head. */
bool audit_head_parse(const char *text, struct audit_head *out);

#endif
