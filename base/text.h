/*
 * Small matters of text that several rooms need: globs, ASCII case, hashes. Any thread.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `*` any run, `?` one byte; ASCII letters match in either case. O(pattern * text) at worst. */
bool text_glob(const char *pattern, const char *text);
void text_lower(char *text);
bool text_is_blank(const char *text);
/* True if no byte is beyond ASCII. */
bool text_is_ascii(const char *text, size_t len);
/* True if the bytes are valid UTF-8 (RFC 3629). */
bool text_is_utf8(const char *text, size_t len);
/* Bytes of the UTF-8 character at `text`, whose code point goes to *code; 0 if there is none. */
size_t text_read_utf8(const char *text, size_t len, uint32_t *code);
/*
 * False for what may not stand in a name or an address: controls (C0, DEL, C1), separators of lines
 * and paragraphs, overrides of the direction of writing, noncharacters, surrogates.
 */
bool text_is_graphic(uint32_t code);
/* True if the bytes are valid UTF-8 and every character is graphic. */
bool text_is_clean(const char *text, size_t len);
/*
 * 64-bit FNV-1a, chained: start with TEXT_HASH_START. For tables whose keys an outsider can choose
 * the caller starts with a secret instead.
 */
#define TEXT_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t text_hash(uint64_t start, const void *data, size_t len);

#endif
