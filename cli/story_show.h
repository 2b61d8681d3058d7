/*
 * A story of docs/api.md as text for people or as Markdown.
 */
#ifndef CLI_STORY_SHOW_H
#define CLI_STORY_SHOW_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"

/* Adds it to `out`, harmless: for a terminal, or for a page. */
void story_show(const json_t *story, bool markdown, struct buf *out);

#endif
