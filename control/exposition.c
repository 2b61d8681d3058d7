/*
 * The exposition format 0.0.4. Of what others have chosen only label values get here: names of
 * environments, rules, channels, upstreams and holds. They are made valid UTF-8, and escaped.
 */
#include "control/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

/* What stands for itself; behind it one character that does not, or the end. */
static size_t
plain_bytes(const char *text, bool quoted)
{
	size_t n = 0;

	while ((unsigned char)text[n] < 0x80 && text[n] != '\0' && text[n] != '\n' &&
	       text[n] != '\\' && (text[n] != '"' || !quoted))
		n++;
	return n;
}

/* In HELP a quotation mark stands for itself. */
static void
add_escaped(struct buf *out, const char *text, bool quoted)
{
	const char *end = text + strlen(text);
	uint32_t code;
	size_t n;

	for (;;) {
		n = plain_bytes(text, quoted);
		buf_add(out, text, n);
		text += n;
		if (text == end)
			return;
		n = text_read_utf8(text, (size_t)(end - text), &code);
		if (n == 0)
			buf_add_text(out, "\xef\xbf\xbd"); /* U+FFFD */
		else if (*text == '\n')
			buf_add_text(out, "\\n");
		else if (n == 1)
			buf_printf(out, "\\%c", *text);
		else
			buf_add(out, text, n);
		text += n > 0 ? n : 1;
	}
}

/* 1500000 is 1.5; no zeroes behind. Not by printf: that knows locales. */
static void
add_seconds(struct buf *out, int64_t microseconds)
{
	uint64_t value = microseconds < 0 ? -(uint64_t)microseconds : (uint64_t)microseconds;
	unsigned digits = 6, rest = (unsigned)(value % CLOCK_SECOND);

	buf_printf(out, "%s%" PRIu64, microseconds < 0 ? "-" : "", value / CLOCK_SECOND);
	if (rest == 0)
		return;
	for (; rest % 10 == 0; rest /= 10)
		digits--;
	buf_printf(out, ".%0*u", (int)digits, rest);
}

void
exposition_family(struct exposition *x, const char *name, enum exposition_type type,
		  const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	x->name = name;
	buf_printf(&x->out, "# HELP %s ", name);
	add_escaped(&x->out, help, false);
	buf_printf(&x->out, "\n# TYPE %s %s\n", name, types[type]);
}

static void
begin_sample(struct exposition *x, va_list labels)
{
	const char *name;
	char before = '{';

	buf_add_text(&x->out, x->name);
	while ((name = va_arg(labels, const char *)) != NULL) {
		buf_printf(&x->out, "%c%s=\"", before, name);
		add_escaped(&x->out, va_arg(labels, const char *), true);
		buf_add_char(&x->out, '"');
		before = ',';
	}
	buf_add_text(&x->out, before == ',' ? "} " : " ");
}

void
exposition_count(struct exposition *x, int64_t value, ...)
{
	va_list labels;

	va_start(labels, value);
	begin_sample(x, labels);
	va_end(labels);
	buf_printf(&x->out, "%" PRId64 "\n", value);
}

void
exposition_seconds(struct exposition *x, int64_t microseconds, ...)
{
	va_list labels;

	va_start(labels, microseconds);
	begin_sample(x, labels);
	va_end(labels);
	add_seconds(&x->out, microseconds);
	buf_add_char(&x->out, '\n');
}

static void
add_number(struct buf *out, int64_t value, bool seconds)
{
	if (seconds)
		add_seconds(out, value);
	else
		buf_printf(out, "%" PRId64, value);
}

void
exposition_histogram(struct exposition *x, const char *name, const char *help, enum histogram which,
		     bool seconds)
{
	struct histogram_reading h;
	unsigned i;

	histogram_read(which, &h);
	exposition_family(x, name, EXPOSITION_HISTOGRAM, help);
	for (i = 0; i < h.bound_count; i++) {
		buf_printf(&x->out, "%s_bucket{le=\"", name);
		add_number(&x->out, h.bounds[i], seconds);
		buf_printf(&x->out, "\"} %" PRIu64 "\n", h.counts[i]);
	}
	buf_printf(&x->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name,
		   h.counts[h.bound_count], name);
	add_number(&x->out, h.sum, seconds);
	buf_printf(&x->out, "\n%s_count %" PRIu64 "\n", name, h.counts[h.bound_count]);
}
