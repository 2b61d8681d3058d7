/*
 * See show.h. Called by control/ for who asks for the settings. A secret's value never leaves this
 * file. What is handed out is good until the callback returns.
 */
#include "config/show.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/units.h"

struct showing {
	bool (*row)(void *context, const struct config_shown *shown);
	void *context;
	bool more;
	struct buf value;
};

/* ---- values */

/* "90s", "5m", "7d": in the largest unit that divides it. */
static void
add_duration(struct buf *out, int64_t microseconds)
{
	static const struct {
		int64_t length;
		const char *unit;
	} units[] = {{CLOCK_DAY, "d"}, {CLOCK_HOUR, "h"}, {CLOCK_MINUTE, "m"}, {CLOCK_SECOND, "s"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (microseconds == 0 || microseconds % units[i].length != 0)
			continue;
		buf_printf(out, "%" PRId64 "%s", microseconds / units[i].length, units[i].unit);
		return;
	}
	buf_printf(out, "%" PRId64, microseconds / CLOCK_SECOND);
	if (microseconds != 0)
		buf_add_char(out, 's');
}

static void
add_size(struct buf *out, uint64_t bytes)
{
	static const char *const units[] = {"GB", "MB", "KB"};

	for (int i = 0; i < 3 && bytes > 0; i++) {
		uint64_t unit = UINT64_C(1) << (30 - 10 * i);

		if (bytes % unit != 0)
			continue;
		buf_printf(out, "%" PRIu64 "%s", bytes / unit, units[i]);
		return;
	}
	buf_printf(out, "%" PRIu64, bytes);
}

static void
add_item(struct buf *out, const char *text)
{
	buf_add_text(out, out->len > 0 ? ", " : "");
	buf_add_text(out, text);
}

static void
add_list(struct buf *out, char *const *list)
{
	for (; list != NULL && *list != NULL; list++)
		add_item(out, *list);
}

static void
add_set(struct buf *out, const char *const *words, unsigned set)
{
	for (unsigned i = 0; words[i] != NULL; i++)
		if ((set >> i & 1) != 0)
			add_item(out, words[i]);
}

static void
add_times(struct buf *out, const int64_t *times)
{
	for (; times != NULL && *times != 0; times++) {
		buf_add_text(out, out->len > 0 ? ", " : "");
		add_duration(out, *times);
	}
}

static void
add_rate(struct buf *out, uint32_t count, int64_t window)
{
	char text[UNITS_BYTES];

	if (count > 0)
		buf_add_text(out, units_format_rate(count, window, text));
}

/* One that is not among the words is not set. */
static void
add_choice(struct buf *out, const struct option *row, int value)
{
	int64_t at = (int64_t)value - (int64_t)row->min;

	for (int64_t i = 0; row->words[i] != NULL; i++)
		if (i == at)
			buf_add_text(out, row->words[i]);
}

static void
add_address(struct buf *out, const char *host, uint16_t port)
{
	if (host == NULL || host[0] == '\0')
		return;
	buf_printf(out, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
}

#define AT(type, object, offset) (*(type const *)(const void *)((const char *)(object) + (offset)))

static void
add_value(struct buf *out, const struct option *row, const void *object)
{
	switch (row->type) {
	case OPTION_SECTION:
		break;
	case OPTION_TEXT:
	case OPTION_PATH:
		if (AT(char *, object, row->offset) != NULL)
			buf_add_text(out, AT(char *, object, row->offset));
		break;
	case OPTION_LIST:
		add_list(out, AT(char **, object, row->offset));
		break;
	case OPTION_FLAG:
		buf_add_text(out, AT(bool, object, row->offset) ? "true" : "false");
		break;
	case OPTION_NUMBER:
		buf_printf(out, "%" PRIu64,
			   (row->flags & OPTION_WIDE) != 0 ? AT(uint64_t, object, row->offset)
							   : AT(uint32_t, object, row->offset));
		break;
	case OPTION_SIZE:
		add_size(out, AT(uint64_t, object, row->offset));
		break;
	case OPTION_DURATION:
		add_duration(out, AT(int64_t, object, row->offset));
		break;
	case OPTION_TIMES:
		add_times(out, AT(int64_t *, object, row->offset));
		break;
	case OPTION_RATE:
		add_rate(out, AT(uint32_t, object, row->offset), AT(int64_t, object, row->offset2));
		break;
	case OPTION_CHOICE:
		add_choice(out, row, AT(int, object, row->offset));
		break;
	case OPTION_SET:
		add_set(out, row->words, AT(unsigned, object, row->offset));
		break;
	case OPTION_ADDRESS:
		add_address(out, AT(char *, object, row->offset),
			    AT(uint16_t, object, row->offset2));
		break;
	}
}

/* ---- sections */

static void
show_section(struct showing *s, const char *kind, const char *title, const char *within,
	     const void *object)
{
	for (const struct option *row = options_table(); row->name != NULL && s->more; row++) {
		if (strcmp(row->section, kind) != 0 || row->type == OPTION_SECTION)
			continue;
		buf_clear(&s->value);
		add_value(&s->value, row, object);
		if ((row->flags & OPTION_SECRET) != 0 && s->value.len > 0) {
			explicit_bzero(s->value.data, s->value.len);
			buf_clear(&s->value);
			buf_add_text(&s->value, "(set)");
		}
		s->more = s->row(s->context,
				 &(struct config_shown){row, title, within, buf_text(&s->value)});
	}
}

/* `none` is "" inside; not set, and nothing to take instead, is NULL. */
static void
show_environment(struct showing *s, const struct config_environment *e)
{
	struct config_environment shown = *e;
	char none[] = "none", nothing[] = "";

	if (e->upstream == NULL)
		shown.upstream = nothing;
	else if (e->upstream[0] == '\0')
		shown.upstream = none;
	show_section(s, "environment", e->name, "", &shown);
	for (size_t i = 0; i < e->match_count; i++)
		show_section(s, "match", "", e->name, &e->matches[i]);
	for (size_t i = 0; i < e->burst_count; i++)
		show_section(s, "burst", e->bursts[i].name, e->name, &e->bursts[i]);
	for (size_t i = 0; i < e->content_count; i++)
		show_section(s, "content", e->contents[i].name, e->name, &e->contents[i]);
}

static void
show_all(struct showing *s, const struct config *c)
{
	show_section(s, "", "", "", c);
	for (size_t i = 0; i < c->listener_count; i++)
		show_section(s, "listener", c->listeners[i].name, "", &c->listeners[i]);
	for (size_t i = 0; i < c->upstream_count; i++)
		show_section(s, "upstream", c->upstreams[i].name, "", &c->upstreams[i]);
	for (size_t i = 0; i < c->environment_count; i++)
		show_environment(s, &c->environments[i]);
	for (size_t i = 0; i < c->alert_count; i++)
		show_section(s, "alert", c->alerts[i].name, "", &c->alerts[i]);
	if (c->approval.above > 0)
		show_section(s, "approval", "", "", &c->approval);
	if (c->access.set)
		show_section(s, "access", "", "", &c->access);
	if (c->http.set)
		show_section(s, "http", "", "", &c->http);
}

void
config_show(const struct config *c, bool (*row)(void *context, const struct config_shown *shown),
	    void *context)
{
	struct showing s = {.row = row, .context = context, .more = true};

	show_all(&s, c);
	buf_free(&s.value);
}
