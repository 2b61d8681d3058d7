/*
 * Reads the daemon's JSON for the verbs.
 */
#include "cli/field.h"

#include <string.h>

#include "base/buf.h"
#include "cli/screen.h"

const char *
field_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

int64_t
field_count(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	if (json_is_real(value))
		return json_real_value(value) > -9e18 && json_real_value(value) < 9e18
			   ? (int64_t)json_real_value(value)
			   : 0;
	return json_integer_value(value);
}

bool
field_is_true(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void
add_value(struct buf *out, const json_t *value)
{
	size_t i;
	json_t *item;

	if (json_is_string(value))
		buf_add_text(out, json_string_value(value));
	else if (json_is_integer(value))
		buf_add_text(out, screen_count(json_integer_value(value)));
	else if (json_is_real(value))
		buf_printf(out, "%.6g", json_real_value(value));
	else if (json_is_boolean(value))
		buf_add_text(out, json_is_true(value) ? "yes" : "no");
	if (!json_is_array(value))
		return;
	json_array_foreach((json_t *)(uintptr_t)value, i, item)
	{
		if (i > 0)
			buf_add_text(out, ", ");
		if (!json_is_array(item))
			add_value(out, item);
	}
}

const char *
field_show(const json_t *object, const char *name)
{
	struct buf text = {0};
	const char *shown;

	add_value(&text, json_object_get(object, name));
	shown = screen_text(text.len == 0 ? NULL : buf_text(&text));
	buf_free(&text);
	return shown;
}

bool
field_is_said(const char *warning)
{
	static const char *const said[] = {"the panic button is pressed",
					   "the store takes no more mail"};
	size_t i;

	for (i = 0; warning != NULL && i < sizeof(said) / sizeof(said[0]); i++) {
		if (strncmp(warning, said[i], strlen(said[i])) == 0)
			return true;
	}
	return false;
}

const char *
field_kind(const char *name, bool production)
{
	static const char own[] = "alerts/";

	if (strncmp(name, own, sizeof(own) - 1) == 0)
		return "alerts";
	return production ? "production" : "test";
}
