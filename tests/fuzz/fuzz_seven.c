/*
 * seven.h over any message: pieces make no difference; behind the first header section there is
 * nothing beyond ASCII but in header fields of parts; line ends stay CRLF; what is 7-bit already
 * and says nothing else keeps its bytes; the result is no larger than quoted-printable of it all;
 * and doing it again changes nothing. The first byte of the input chooses the size of the pieces.
 */
#include <string.h>

#include "mail/body.h"
#include "mail/mime.h"
#include "mail/seven.h"
#include "tests/fuzz/fuzz.h"

static void
collect(void *context, const char *data, size_t len)
{
	FUZZ_CHECK(len > 0);
	buf_add(context, data, len);
}

static void
convert(const struct buf *in, size_t piece, struct buf *out)
{
	struct seven *s = seven_new();
	size_t at, n;

	for (at = 0; at < in->len; at += n) {
		n = in->len - at < piece ? in->len - at : piece;
		seven_feed(s, in->data + at, n, collect, out);
	}
	seven_finish(s, collect, out);
	seven_free(s);
}

/* Line ends as the store has them: CRLF only. */
static void
normalise(const uint8_t *data, size_t size, struct buf *out)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (data[i] == '\n')
			buf_add(out, "\r\n", 2);
		else if (data[i] != '\r')
			buf_add_char(out, (char)data[i]);
	}
}

static bool
is_field_start(const char *line, const char *end)
{
	const char *p = line;

	while (p<end && * p> ' ' && *p < 127 && *p != ':')
		p++;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p > line && p < end && *p == ':';
}

/*
 * A line with a byte beyond ASCII must be a field or go on with one. Where header sections are
 * cannot be told without the code under test, so this finds what is outside of both forms.
 */
static void
check_lines(const struct buf *b)
{
	const char *p = buf_text(b), *end = p + b->len;
	bool field = false;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p)), *c;
		const char *stop = lf != NULL ? lf : end;

		FUZZ_CHECK(lf == NULL || (lf > p && lf[-1] == '\r'));
		FUZZ_CHECK(lf == NULL || memchr(p, '\r', (size_t)(lf - p)) == lf - 1);
		if (*p != ' ' && *p != '\t')
			field = is_field_start(p, stop);
		for (c = p; c < stop; c++)
			FUZZ_CHECK((unsigned char)*c < 0x80 || field);
		p = lf != NULL ? lf + 1 : end;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct buf in = {0}, whole = {0}, pieces = {0}, again = {0};
	size_t labels, i;

	if (!ready)
		mime_init();
	ready = true;
	if (size == 0)
		return 0;
	normalise(data + 1, size - 1, &in);
	convert(&in, SIZE_MAX, &whole);
	convert(&in, (size_t)data[0] % 16 + 1, &pieces);
	FUZZ_CHECK(whole.len == pieces.len);
	FUZZ_CHECK(memcmp(buf_text(&whole), buf_text(&pieces), whole.len) == 0);
	check_lines(&whole);
	/* At most one new field of 45 bytes a line, and two more for each message. */
	labels = 2;
	for (i = 0; i < in.len; i++)
		labels += in.data[i] == '\n';
	FUZZ_CHECK(whole.len <= 4 * in.len + 160 * labels);
	convert(&whole, SIZE_MAX, &again);
	FUZZ_CHECK(again.len == whole.len);
	FUZZ_CHECK(memcmp(buf_text(&again), buf_text(&whole), whole.len) == 0);
	buf_free(&in);
	buf_free(&whole);
	buf_free(&pieces);
	buf_free(&again);
	return 0;
}
