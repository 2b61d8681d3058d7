/*
 * Rows of the store and other C values as JSON (docs/api.md). Mail brings bytes of any kind: what
 * is no UTF-8 becomes U+FFFD. The callers own the references they get. Main thread.
 */
#ifndef CONTROL_JSON_H
#define CONTROL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/views.h"

/* Never NULL; a NUL inside becomes U+FFFD too, since most readers take none. */
json_t *json_text(const char *bytes, size_t len);
/* Each adds `key` to an object; a NULL text and a time of 0 become null. */
void json_put(json_t *object, const char *key, json_t *value);
void json_put_text(json_t *object, const char *key, const char *value);
void json_put_count(json_t *object, const char *key, uint64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
void json_put_time(json_t *object, const char *key, int64_t wall);
void json_append(json_t *array, json_t *value);
/* Checked against running out of memory. */
json_t *json_make_object(void);
json_t *json_make_array(void);
/* {"items": items, "next": next}; takes both, next may be NULL. */
json_t *json_make_list(json_t *items, json_t *next);
/* {"value", "count"} behind the array `context`, for store_view_top(); true. */
bool json_add_counted(void *context, const char *value, uint64_t count);

/* Without what batches_complete() adds. */
json_t *json_from_batch(const struct store_batch *b);
json_t *json_from_delivery(const struct store_delivery *d);
json_t *json_from_audit(const struct store_audit *a);
/* "B17". */
enum { JSON_BATCH_BYTES = 24 };
const char *json_batch_id(int64_t id, char out[JSON_BATCH_BYTES]);

/*
 * How many values a JSON text has at most, counted without reading it: a parsed value takes some
 * forty times the bytes of its text, so 32 MB of zeros must not get that far. O(len).
 */
size_t json_estimate_values(const char *text, size_t len);

#endif
