/*
 * Message ids. Inside, a message is a positive 64-bit number: milliseconds since 1970 shifted left
 * by 16, plus a count within the millisecond. It grows with every call, so the store keys its rows
 * by it and appends; it is never given twice, even when the wall clock jumps back, because the
 * store hands its highest one to id_init().
 *
 * Outside, it is a ULID (26 characters of Crockford's base 32): those 64 bits, then the 64 bits
 * that name this store, so that two gates never share an id. A delivery is the message's id, a dot
 * and its number from 1: `01JD8Z2E3M0G4S7T2V9W1X5Y6Z.2`. Any thread.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

enum { ID_TEXT_BYTES = 27, ID_DELIVERY_BYTES = 40 };

/* Called once before the first id_next(), by the store when it opens. */
void id_init(uint64_t store_name, uint64_t highest_seen);
uint64_t id_next(void);
/* The highest id given so far. */
uint64_t id_highest(void);

const char *id_format(uint64_t id, char out[ID_TEXT_BYTES]);
const char *id_format_delivery(uint64_t id, uint32_t number, char out[ID_DELIVERY_BYTES]);
/*
 * Reads `ID` or `ID.N`, upper or lower case; number is 0 where there is none. False if the text is
 * no id, or an id of another store.
 */
bool id_parse(const char *text, uint64_t *id, uint32_t *number);
/* A message's id of any store, and that store's name. */
bool id_parse_foreign(const char *text, uint64_t *id, uint64_t *store_name);
/* As id_init() was told. */
uint64_t id_store_name(void);

#endif
