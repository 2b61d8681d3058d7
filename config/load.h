/*
 * A configuration from text, for config_load(), tests and the fuzzer.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/config.h"

/*
 * `text` is changed. `path` is for messages; "" = built-in defaults. With `files` false,
 * `file:PATH` is an error and no file is touched. Errors as in config_load(). Main thread only:
 * libConfuse's scanner is one for the whole process.
 */
struct config *load_text(char *text, const char *path, bool files, struct buf *errors);

#endif
