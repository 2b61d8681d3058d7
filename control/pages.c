/*
 * Files of the console out of a table in the program: nothing is read from disk, and a path is
 * compared as it was sent, so that no spelling of .. leads anywhere. Called by api.c; main loop.
 */
#include "control/pages.h"

#include <event2/http.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "control/assets.h"
#include "control/headers.h"
#include "control/request.h"

bool
pages_take(const char *path)
{
	return strcmp(path, "/v1") != 0 && strncmp(path, "/v1/", 4) != 0 &&
	       strcmp(path, "/metrics") != 0;
}

/* Addresses that the page makes up for itself; what ends with / has more behind it. */
static bool
is_page(const char *path)
{
	static const char *const pages[] = {"/",       "/batches/", "/messages/", "/environments/",
					    "/inbox",  "/inbox/",   "/audit",     "/settings",
					    "/alerts", "/login",    NULL};

	for (const char *const *page = pages; *page != NULL; page++) {
		size_t len = strlen(*page);

		if (strcmp(path, *page) == 0 ||
		    (len > 1 && (*page)[len - 1] == '/' && strncmp(path, *page, len) == 0))
			return true;
	}
	return false;
}

static const struct asset *
find_asset(const char *path)
{
	for (size_t i = 0; i < console_asset_count; i++)
		if (strcmp(console_assets[i].path, path) == 0)
			return &console_assets[i];
	return NULL;
}

static void
send_asset(struct request *r, const struct asset *asset)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(r->http);
	const char *known =
	    evhttp_find_header(evhttp_request_get_input_headers(r->http), "If-None-Match");

	evhttp_add_header(headers, "Content-Security-Policy", HEADERS_PAGE_POLICY);
	evhttp_add_header(headers, "Cache-Control",
			  asset->immutable ? "public, max-age=31536000, immutable" : "no-cache");
	evhttp_add_header(headers, "ETag", asset->etag);
	if (known != NULL && headers_list_has_etag(known, asset->etag))
		request_reply_unchanged(r);
	else
		request_reply_static(r, asset->type, asset->data, asset->len);
}

void
pages_get(struct request *r)
{
	static const char missing[] = "the console was not built in; build it with web/build\n";
	const struct asset *asset;

	if (!request_config(r)->http.console) {
		request_fail(r, 404,
			     "there is no %s: the console is switched off; the API is at /v1",
			     log_safe(r->path));
		return;
	}
	asset = find_asset(r->path);
	if (asset == NULL && is_page(r->path))
		asset = find_asset("/index.html");
	if (asset != NULL)
		send_asset(r, asset);
	else if (console_asset_count == 0 && is_page(r->path))
		request_reply_static(r, "text/plain; charset=utf-8", missing, sizeof(missing) - 1);
	else
		request_fail(r, 404, "there is no %s; the API is at /v1", log_safe(r->path));
}
