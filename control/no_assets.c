/*
 * The console where it was not built: nothing. web/dist/assets.c, linked first, takes its place.
 */
#include "control/assets.h"

const struct asset console_assets[] = {{.path = NULL}};
const size_t console_asset_count = 0;
