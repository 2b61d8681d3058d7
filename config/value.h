/*
 * One value of a setting: from the text of the file to its place in a structure of config.h.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/options.h"

struct value_place {
	const struct option *row;
	void *object; /* the structure of the section */
	bool files;   /* file:PATH may be read */
};

/* Before the first value: an empty list or set, "" for a text. */
void value_reset(const struct value_place *p);
/* Adds one value. False and a reason that starts with the setting's name in `why` if it is none. */
bool value_add(const struct value_place *p, const char *text, struct buf *why);
/* The same with the row's default, of which a list may have several. */
bool value_add_default(const struct value_place *p, struct buf *why);
/* Frees what the field holds; a secret is overwritten. The field is NULL afterwards. */
void value_free(const struct value_place *p);
/* Two structures' values of a text, number or choice. */
bool value_same(const struct value_place *a, const struct value_place *b);

char **value_list_new(void);
void value_list_add(char ***list, const char *item);
size_t value_list_count(char *const *list);
void value_list_free(char **list);
/* Entries before the 0. */
size_t value_times_count(const int64_t *times);

/*
 * `10.1.0.0/16`, `2001:db8::/32`, `192.0.2.7`. False and a reason in `why`; a network with host
 * bits set is refused with the network it means. `out` gets the one way to write it.
 */
enum { VALUE_NETWORK_BYTES = 64 };
bool value_network(const char *text, char out[VALUE_NETWORK_BYTES], struct buf *why);

#endif
