/*
 * Dots, line ends and the end of data, in both directions; the machine is drawn in body.h. Called
 * by relay/intake.c for what clients send and by relay/smtp_client.c for what leaves, on the
 * connection's loop. Content is handed on as slices of the caller's buffer: a run grows over any
 * number of lines and is cut only where a byte has to change.
 */
#include "mail/body.h"

#include <string.h>

/* One call of body_feed(). [start, p) is content that leaves as it is: empty in CR, DOT, DOT_CR. */
struct feed {
	struct body_in *in;
	body_sink *sink;
	void *context;
	const char *start, *p, *end;
	const char *lf; /* the next LF at or behind p, or end; NULL or before p: not looked for */
};

static void
feed_emit(struct feed *f, const char *data, size_t len)
{
	if (len == 0)
		return;
	f->in->bytes += len;
	f->sink(f->context, data, len);
}

/* Hands out the run and leaves the byte behind it out. */
static void
feed_cut(struct feed *f)
{
	feed_emit(f, f->start, (size_t)(f->p - f->start));
	f->start = ++f->p;
}

/* The CR that was held back was no line end; what follows it is looked at as text. */
static void
feed_bare_cr(struct feed *f)
{
	f->in->bare_newline = true;
	feed_emit(f, " ", 1);
	f->in->state = BODY_TEXT;
}

/* Moves to the first CR or LF. The LF is kept, or a flood of CRs would have it sought for each. */
static void
feed_seek_newline(struct feed *f)
{
	const char *cr;

	if (f->lf == NULL || f->lf < f->p) {
		f->lf = memchr(f->p, '\n', (size_t)(f->end - f->p));
		if (f->lf == NULL)
			f->lf = f->end;
	}
	cr = memchr(f->p, '\r', (size_t)(f->lf - f->p));
	f->p = cr != NULL ? cr : f->lf;
}

static void
feed_text(struct feed *f)
{
	feed_seek_newline(f);
	/* Most lines end with CR LF and have no dot behind that: nothing to do but to go on. */
	while (f->end - f->p > 2 && f->p + 1 == f->lf && f->p[2] != '.') {
		f->p += 2;
		feed_seek_newline(f);
	}
	if (f->p == f->end)
		return;
	if (*f->p == '\n') {
		feed_cut(f);
		f->in->bare_newline = true;
		feed_emit(f, "\r\n", 2);
	} else if (f->end - f->p >= 2 && f->p[1] == '\n') {
		f->p += 2;
		f->in->state = BODY_LINE_START;
	} else {
		feed_cut(f);
		f->in->state = BODY_CR;
	}
}

/* The byte behind a CR that was held back: an LF makes a line end of both. */
static void
feed_after_cr(struct feed *f)
{
	if (*f->p != '\n') {
		feed_bare_cr(f);
		return;
	}
	feed_cut(f);
	feed_emit(f, "\r\n", 2);
	f->in->state = BODY_LINE_START;
}

/* Looks at the byte at p, and takes it or changes the state. */
static void
feed_step(struct feed *f)
{
	switch (f->in->state) {
	case BODY_LINE_START:
		f->in->state = *f->p == '.' ? BODY_DOT : BODY_TEXT;
		if (f->in->state == BODY_DOT)
			feed_cut(f);
		break;
	case BODY_TEXT:
		feed_text(f);
		break;
	case BODY_CR:
		feed_after_cr(f);
		break;
	case BODY_DOT:
		f->in->state = *f->p == '\r' ? BODY_DOT_CR : BODY_TEXT;
		if (f->in->state == BODY_DOT_CR)
			feed_cut(f);
		break;
	case BODY_DOT_CR:
		if (*f->p != '\n') {
			feed_bare_cr(f);
			break;
		}
		feed_cut(f);
		f->in->state = BODY_DONE;
		break;
	case BODY_DONE:
		break;
	}
}

/* Eight bytes a step, with four sums that the compiler may keep in one vector. */
static bool
has_high_bytes(const char *p, size_t len)
{
	uint64_t sum[4] = {0}, words[4];
	unsigned char rest = 0;

	for (; len >= sizeof(words); p += sizeof(words), len -= sizeof(words)) {
		memcpy(words, p, sizeof(words));
		sum[0] |= words[0];
		sum[1] |= words[1];
		sum[2] |= words[2];
		sum[3] |= words[3];
	}
	for (; len > 0; p++, len--)
		rest |= (unsigned char)*p;
	return ((sum[0] | sum[1] | sum[2] | sum[3]) & UINT64_C(0x8080808080808080)) != 0 ||
	       rest >= 0x80;
}

static void
feed_inspect(struct body_in *in, const char *data, size_t len)
{
	if (!in->nul)
		in->nul = memchr(data, '\0', len) != NULL;
	if (!in->eightbit)
		in->eightbit = has_high_bytes(data, len);
}

size_t
body_feed(struct body_in *in, const char *data, size_t len, body_sink *sink, void *context)
{
	struct feed f = {in, sink, context, data, data, data, NULL};
	size_t used;

	if (len == 0)
		return 0;
	f.end = data + len;
	while (f.p < f.end && in->state != BODY_DONE)
		feed_step(&f);
	feed_emit(&f, f.start, (size_t)(f.p - f.start));
	used = (size_t)(f.p - data);
	feed_inspect(in, data, used);
	return used;
}

void
body_feed_chunk(struct body_in *in, const char *data, size_t len, body_sink *sink, void *context)
{
	struct feed f = {in, sink, context, data, data, data, NULL};

	if (len == 0)
		return;
	f.end = data + len;
	while (f.p < f.end) {
		if (in->state == BODY_CR)
			feed_after_cr(&f);
		if (f.p < f.end) {
			in->state = BODY_TEXT;
			feed_text(&f);
		}
	}
	feed_emit(&f, f.start, (size_t)(f.p - f.start));
	feed_inspect(in, data, len);
}

void
body_end_chunks(struct body_in *in, body_sink *sink, void *context)
{
	struct feed f = {in, sink, context, NULL, NULL, NULL, NULL};

	if (in->state == BODY_CR)
		feed_bare_cr(&f);
	in->state = BODY_DONE;
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
