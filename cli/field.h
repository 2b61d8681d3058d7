/*
 * Fields of the daemon's answers. A field that is missing, null or of another type is "", 0 or
 * false: an older daemon must not crash a newer tool. Texts live as long as the answer.
 */
#ifndef CLI_FIELD_H
#define CLI_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

const char *field_text(const json_t *object, const char *name);
int64_t field_count(const json_t *object, const char *name);
bool field_is_true(const json_t *object, const char *name);
/* Text as it is, numbers with separators, lists joined by ", "; for people. Good like
 * screen_text(). */
const char *field_show(const json_t *object, const char *name);

/* True for a warning of `status` that its fields `holds` and `store` say too. */
bool field_is_said(const char *warning);
/* What an environment of that name is: "production", "test", or "alerts" for the gate's own. */
const char *field_kind(const char *name, bool production);

#endif
