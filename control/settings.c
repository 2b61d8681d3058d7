/*
 * GET /v1/settings: every setting of the configuration in force, in the order of the file's
 * sections, page by page; the cursor is the number of the last. A drill's environment is not there:
 * its name is a secret while it runs. Called by api.c; main loop.
 */
#include "control/settings.h"

#include <string.h>

#include "config/show.h"
#include "control/json.h"
#include "control/request.h"

enum { LIMIT_MOST = 1000 };

struct page {
	json_t *items;
	uint32_t limit;
	int64_t number, after;
	bool more;
};

static json_t *
json_from_setting(const struct config_shown *s)
{
	json_t *o = json_make_object();

	json_put_text(o, "section", s->row->section);
	json_put_text(o, "title", s->title);
	json_put_text(o, "within", s->within);
	json_put_text(o, "name", s->row->name);
	json_put_text(o, "value", s->value);
	json_put_text(o, "default", s->row->def);
	json_put_bool(o, "restart", (s->row->flags & OPTION_FIXED) != 0);
	json_put_text(o, "help", s->row->help);
	return o;
}

static bool
add_setting(void *context, const struct config_shown *s)
{
	struct page *page = context;

	if (strcmp(s->title, CONFIG_DRILL) == 0 || strcmp(s->within, CONFIG_DRILL) == 0)
		return true;
	if (page->number++ < page->after)
		return true;
	if (json_array_size(page->items) == page->limit) {
		page->more = true;
		return false;
	}
	json_append(page->items, json_from_setting(s));
	return true;
}

void
settings_list(struct request *r)
{
	static const char *const known[] = {"limit", "after", NULL};
	const struct config *config;
	struct page page = {.more = false};
	json_t *answer;

	if (!request_check_query(r, known) ||
	    !request_query_limit(r, "limit", LIMIT_MOST, LIMIT_MOST, &page.limit) ||
	    !request_query_after(r, &page.after))
		return;
	config = request_config(r);
	page.items = json_make_array();
	config_show(config, add_setting, &page);
	answer = json_make_list(
	    page.items, page.more ? json_integer((json_int_t)(page.after + page.limit)) : NULL);
	json_put_text(answer, "config", config->path);
	request_reply(r, answer);
}
