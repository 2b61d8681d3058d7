/*
 * Dots, line ends and the end of data, in both directions; the machine is drawn in body.h. Called
 * by relay/session.c for what clients send and by relay/smtp_client.c for what leaves, on the
 * connection's loop. Content is handed on as slices of the caller's buffer: a run grows over any
 * number of lines and is cut only where a byte has to change.
 */
#include "mail/body.h"

#include <string.h>

static void
emit(struct body_in *in, const char *data, size_t len, body_sink *sink, void *context)
{
	if (len == 0)
		return;
	in->bytes += len;
	sink(context, data, len);
}

/*
 * The first CR or LF in [p, end), or end. *lf keeps the LF found by an earlier call, so that a
 * flood of CRs does not have the rest searched again for each.
 */
static const char *
find_newline(const char *p, const char *end, const char **lf)
{
	const char *cr;

	if (*lf == NULL || *lf < p) {
		*lf = memchr(p, '\n', (size_t)(end - p));
		if (*lf == NULL)
			*lf = end;
	}
	cr = memchr(p, '\r', (size_t)(*lf - p));
	return cr != NULL ? cr : *lf;
}

size_t
body_feed(struct body_in *in, const char *data, size_t len, body_sink *sink, void *context)
{
	const char *p = data, *end = data + len, *lf = NULL;
	const char *run = data; /* [run, p) leaves as it is; empty in CR, DOT and DOT_CR */

	while (p < end && in->state != BODY_DONE) {
		switch (in->state) {
		case BODY_LINE_START:
			in->state = BODY_TEXT;
			if (*p == '.') {
				emit(in, run, (size_t)(p - run), sink, context);
				run = ++p;
				in->state = BODY_DOT;
			}
			break;
		case BODY_TEXT:
			p = find_newline(p, end, &lf);
			if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
				p += 2;
				in->state = BODY_LINE_START;
			} else if (p < end) {
				emit(in, run, (size_t)(p - run), sink, context);
				run = p + 1;
				if (*p++ == '\r') {
					in->state = BODY_CR;
				} else {
					in->bare_newline = true;
					emit(in, "\r\n", 2, sink, context);
				}
			}
			break;
		case BODY_CR:
			if (*p == '\n') {
				emit(in, "\r\n", 2, sink, context);
				run = ++p;
				in->state = BODY_LINE_START;
				break;
			}
			in->bare_newline = true;
			emit(in, " ", 1, sink, context);
			in->state = BODY_TEXT;
			break;
		case BODY_DOT:
			in->state = BODY_TEXT;
			if (*p == '\r') {
				run = ++p;
				in->state = BODY_DOT_CR;
			}
			break;
		case BODY_DOT_CR:
			if (*p == '\n') {
				run = ++p;
				in->state = BODY_DONE;
				break;
			}
			in->bare_newline = true;
			emit(in, " ", 1, sink, context);
			in->state = BODY_TEXT;
			break;
		case BODY_DONE:
			break;
		}
	}
	emit(in, run, (size_t)(p - run), sink, context);
	if (!in->nul && p > data && memchr(data, '\0', (size_t)(p - data)) != NULL)
		in->nul = true;
	return (size_t)(p - data);
}

void
body_stuff(struct body_out *out, const char *data, size_t len, body_sink *sink, void *context)
{
	const char *p = data, *end = data + len, *run = data, *lf;

	if (len == 0)
		return;
	while (p < end) {
		if (!out->mid_line && *p == '.') {
			if (p > run)
				sink(context, run, (size_t)(p - run));
			sink(context, ".", 1);
			run = p;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		out->mid_line = true;
		p = end;
		if (lf != NULL) {
			out->mid_line = lf > data ? lf[-1] != '\r' : !out->after_cr;
			p = lf + 1;
		}
	}
	out->after_cr = end[-1] == '\r';
	sink(context, run, (size_t)(end - run));
}

void
body_finish(struct body_out *out, body_sink *sink, void *context)
{
	if (out->mid_line)
		sink(context, "\r\n.\r\n", 5);
	else
		sink(context, ".\r\n", 3);
	*out = (struct body_out){0};
}
