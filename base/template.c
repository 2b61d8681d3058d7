/*
 * Templates of alerts: checked by config/, filled by alert/. See template.h; the buffers are the
 * caller's.
 */
#include "base/template.h"

#include <string.h>

#include "base/text.h"

bool
template_check(const char *text, const char *letters, char bad[TEMPLATE_BAD_BYTES])
{
	const char *at = text;

	bad[0] = '\0';
	while ((at = strchr(at, '%')) != NULL) {
		size_t n;
		uint32_t code;

		at++;
		if (*at == '%' || (*at != '\0' && strchr(letters, *at) != NULL)) {
			at++;
			continue;
		}
		n = text_read_utf8(at, strlen(at), &code);
		bad[0] = '%';
		memcpy(bad + 1, at, n);
		bad[n + 1] = '\0';
		return false;
	}
	return true;
}

void
template_fill(const char *text, const struct template_value *values, struct buf *out)
{
	while (*text != '\0') {
		size_t plain = strcspn(text, "%");
		const struct template_value *v = values;

		buf_add(out, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		while (v->letter != '\0' && v->letter != text[1])
			v++;
		if (v->letter != '\0')
			buf_add_text(out, v->text);
		else
			buf_add(out, text, text[1] != '%' && text[1] != '\0' ? 2 : 1);
		text += text[1] != '\0' ? 2 : 1;
	}
}
