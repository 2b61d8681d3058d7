/*
 * Text, numbers, times and colours for people. Mail is hostile: a subject may hold escape
 * sequences, line ends or characters that turn the direction of the line, so nothing of it
 * reaches the terminal but what can be seen and takes the room it seems to take.
 * One thread; the buffers live as long as the program.
 */
#include "cli/screen.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"

enum { TEXT_BUFFERS = 16, MARKS_MAX = 4, CHARACTER_BYTES = 4 };

static int terminal = STDOUT_FILENO;
static bool is_utf8, is_terminal, can_redraw, has_colours;
static struct buf buffers[TEXT_BUFFERS];
static unsigned turn;

void
screen_init(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	/* Only LC_CTYPE: numbers are read and written the same way everywhere. */
	setlocale(LC_CTYPE, "");
	is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	is_terminal = isatty(STDOUT_FILENO) == 1;
	can_redraw = is_terminal && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
	has_colours = can_redraw && (no_color == NULL || *no_color == '\0');
}

bool
screen_is_utf8(void)
{
	return is_utf8;
}

bool
screen_is_terminal(void)
{
	return is_terminal;
}

bool
screen_can_redraw(void)
{
	return can_redraw;
}

void
screen_set_terminal(int fd)
{
	terminal = fd;
}

size_t
screen_rows(void)
{
	struct winsize size;

	if (!is_terminal)
		return 0;
	if (ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		return size.ws_row;
	return 24;
}

size_t
screen_columns(void)
{
	struct winsize size;

	if (!is_terminal)
		return 0;
	if (ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

static struct buf *
next_buffer(void)
{
	struct buf *b = &buffers[turn++ % TEXT_BUFFERS];

	buf_clear(b);
	return b;
}

/* Decodes one character; *code is -1 for a byte that is no UTF-8 (RFC 3629). Returns its bytes. */
static size_t
character_read(const char *text, size_t len, int32_t *code)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)text;
	size_t n, i;

	*code = p[0];
	if (p[0] < 0x80)
		return 1;
	*code = -1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 1;
	*code = p[0] & (0xff >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*code = -1;
			return 1;
		}
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code >= least[n] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff))
		return n;
	*code = -1;
	return 1;
}

/*
 * Characters that are not seen but change what is: direction (Unicode TR 36), line separators, zero
 * width, tags. The joiners U+200C and U+200D stay: Persian and emoji need them.
 */
static bool
character_is_hidden(int32_t c)
{
	static const struct {
		int32_t first, last;
	} ranges[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
		      {0x115f, 0x1160}, {0x180b, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f},
		      {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0e},
		      {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
	size_t i;

	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/* Adds one character in its harmless form; *marks counts marks that stand over the same letter. */
static void
character_add(struct buf *out, const char *text, size_t len, int32_t code, unsigned *marks)
{
	int width;

	if (code < 0) {
		buf_add_char(out, '?');
	} else if (character_is_hidden(code)) {
		if (code == '\n')
			buf_add_text(out, "\\n");
		else if (code < 0x80)
			buf_printf(out, "\\x%02x", (unsigned)code);
		else
			buf_printf(out, "\\u%04" PRIx32, (uint32_t)code);
	} else if (code < 0x80) {
		buf_add_char(out, (char)code);
	} else if (!is_utf8 || (width = wcwidth((wchar_t)code)) < 0) {
		buf_add_char(out, '?');
	} else if (width > 0 || (*marks)++ < MARKS_MAX) {
		/* A pile of marks would paint over the lines above. */
		buf_add(out, text, len);
		if (width > 0)
			*marks = 0;
		return;
	} else {
		return;
	}
	*marks = 0;
}

const char *
screen_text(const char *text)
{
	struct buf *out = next_buffer();
	size_t len, n, i;
	unsigned marks = 0;
	int32_t code;

	if (text == NULL)
		return "-";
	len = strlen(text);
	for (i = 0; i < len; i += n) {
		n = character_read(text + i, len - i, &code);
		character_add(out, text + i, n, code, &marks);
	}
	return buf_text(out);
}

void
screen_lines(FILE *file, const char *text, size_t len)
{
	struct buf *out = next_buffer();
	size_t n, i;
	unsigned marks = 0;
	int32_t code;

	for (i = 0; i < len; i += n) {
		n = character_read(text + i, len - i, &code);
		if (code == '\r' && i + 1 < len && text[i + 1] == '\n')
			continue;
		if (code == '\n' || code == '\t')
			buf_add_char(out, (char)code);
		else
			character_add(out, text + i, n, code, &marks);
		if (code == '\n' || i + n >= len) {
			fwrite(buf_text(out), 1, out->len, file);
			buf_clear(out);
		}
	}
	if (len > 0 && text[len - 1] != '\n')
		fputc('\n', file);
}

size_t
screen_width(const char *text)
{
	size_t len = strlen(text), width = 0, n, i;
	int32_t code;
	int w;

	for (i = 0; i < len; i += n) {
		n = character_read(text + i, len - i, &code);
		w = code < 0x80 ? 1 : wcwidth((wchar_t)code);
		width += w < 0 ? 1 : (size_t)w;
	}
	return width;
}

size_t
screen_fit(const char *text, size_t columns, size_t *width)
{
	size_t len = strlen(text), n, i;
	int32_t code;
	int w;

	*width = 0;
	for (i = 0; i < len; i += n) {
		n = character_read(text + i, len - i, &code);
		w = code < 0x80 ? 1 : wcwidth((wchar_t)code);
		w = w < 0 ? 1 : w;
		if (*width + (size_t)w > columns)
			return i;
		*width += (size_t)w;
	}
	return len;
}

const char *
screen_on(enum screen_style style)
{
	static const char *const codes[] = {"",         "\033[1m",  "\033[2m",
					    "\033[31m", "\033[32m", "\033[33m"};

	return has_colours ? codes[style] : "";
}

const char *
screen_off(enum screen_style style)
{
	return has_colours && style != SCREEN_PLAIN ? "\033[0m" : "";
}

enum screen_style
screen_state_style(const char *state)
{
	static const struct {
		const char *state;
		enum screen_style style;
	} rows[] = {
	    {"held", SCREEN_YELLOW}, {"paused", SCREEN_YELLOW},   {"wait", SCREEN_YELLOW},
	    {"hold", SCREEN_YELLOW}, {"releasing", SCREEN_GREEN}, {"released", SCREEN_GREEN},
	    {"sent", SCREEN_GREEN},  {"pass", SCREEN_GREEN},      {"failed", SCREEN_RED},
	    {"reject", SCREEN_RED},  {"discarded", SCREEN_DIM},   {"dropped", SCREEN_DIM},
	    {"drop", SCREEN_DIM}};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].state, state) == 0)
			return rows[i].style;
	}
	return SCREEN_PLAIN;
}

const char *
screen_count(int64_t n)
{
	struct buf *out = next_buffer();
	char digits[24];
	size_t len, i;

	snprintf(digits, sizeof(digits), "%" PRIu64, n < 0 ? -(uint64_t)n : (uint64_t)n);
	len = strlen(digits);
	if (n < 0)
		buf_add_char(out, '-');
	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf_add_char(out, ',');
		buf_add_char(out, digits[i]);
	}
	return buf_text(out);
}

const char *
screen_counted(int64_t n, const char *one, const char *many)
{
	struct buf *out = next_buffer();

	buf_printf(out, "%s %s", screen_count(n), n == 1 ? one : many);
	return buf_text(out);
}

int64_t
screen_time_parse(const char *iso)
{
	struct tm tm = {0};
	const char *end = strptime(iso, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end == NULL || (*end != '.' && *end != 'Z'))
		return -1;
	return (int64_t)timegm(&tm);
}

const char *
screen_time(const char *iso)
{
	struct buf *out;
	struct tm tm;
	char text[32];
	time_t at;

	if (iso == NULL || *iso == '\0')
		return "-";
	at = (time_t)screen_time_parse(iso);
	if (at < 0 || localtime_r(&at, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return screen_text(iso);
	out = next_buffer();
	buf_add_text(out, text);
	return buf_text(out);
}
