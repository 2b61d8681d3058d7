/*
 * The console's files, built into the program: web/dist/assets.c, which web/build makes, defines
 * them; without it no_assets.c defines none. Read by pages.c only.
 */
#ifndef CONTROL_ASSETS_H
#define CONTROL_ASSETS_H

#include <stdbool.h>
#include <stddef.h>

struct asset {
	const char *path, *type; /* "/app-1f2e.js", "text/javascript; charset=utf-8" */
	const unsigned char *data;
	size_t len;
	const char *etag; /* with its quotes: "\"1f2e\"" */
	bool immutable;   /* its path changes with its content: kept for a year */
};

/* "/index.html" is the page; it is answered for every address of the console. */
extern const struct asset console_assets[];
extern const size_t console_asset_count;

#endif
