/*
 * Seeded mails for measuring: a personalised HTML newsletter, or plain text of a given size. The
 * template is made once; a mail copies it and fills in what is personal. One thread.
 */
#ifndef BENCH_LETTERS_H
#define BENCH_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum letters_kind { LETTERS_HTML, LETTERS_PLAIN };
enum letters_encoding { LETTERS_8BIT, LETTERS_QP, LETTERS_BASE64 };

struct letters_options {
	enum letters_kind kind;
	enum letters_encoding encoding; /* of the parts of an HTML mail */
	size_t size;                    /* about so many bytes each, before the encoding */
	uint64_t seed;
	const char *subject;   /* NULL = one for all, of our own */
	bool personal_subject; /* begins with the recipient's name */
};

struct letters;

struct letters *letters_new(const struct letters_options *options);
void letters_free(struct letters *l);
/*
 * Appends mail `number` as it goes on the wire: CRLF lines, none of which begins with a dot, and no
 * final dot. The same seed and number make the same bytes.
 */
void letters_add(struct letters *l, uint64_t number, struct buf *out);
/* Has bytes beyond ASCII: to be sent as 8BITMIME where that is offered. */
bool letters_are_8bit(const struct letters *l);

enum { LETTERS_ADDRESS_BYTES = 64 };
/* Its recipient `copy`, from 0. */
void letters_address(uint64_t number, unsigned copy, char out[LETTERS_ADDRESS_BYTES]);

#endif
