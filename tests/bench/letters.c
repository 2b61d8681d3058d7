/*
 * How a mail is made. A part is a list of pieces: fixed text, encoded once, and lines with slots (a
 * control character each), which are filled and encoded for every mail. As an encoder works line by
 * line, that gives the bytes that it would give for the whole. base64 runs over line ends, so there
 * the part is filled raw and encoded whole.
 */
#include "tests/bench/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Slots: what is personal. A control character each, as part of a text and by itself. */
#define FIRST "\001"  /* first name */
#define NAME "\002"   /* both names */
#define TOKEN "\003"  /* who clicks: the same in the whole mail */
#define SIGN "\004"   /* of one link */
#define POINTS "\005" /* a number */
#define NUMBER "\006" /* of the order */
#define EDGE "\016"   /* the MIME boundary, one per mail */
#define ORDERS "\017" /* a line of its own: the rows of the order table */
#define TO "\020"     /* the address */
enum slot {
	SLOT_FIRST = 001,
	SLOT_NAME = 002,
	SLOT_TOKEN = 003,
	SLOT_SIGN = 004,
	SLOT_POINTS = 005,
	SLOT_NUMBER = 006,
	SLOT_EDGE = 016,
	SLOT_ORDERS = 017
};

enum { LINE_MAX_BYTES = 2000, QP_LINE_MAX = 76, B64_LINE_BYTES = 57 };

struct piece {
	bool filled; /* a line with slots, without its end; else bytes to be copied */
	char *text;
	size_t len;
};

struct part {
	struct piece *pieces;
	size_t count;
	enum letters_encoding encoding;
};

struct letters {
	struct letters_options options;
	struct part parts[6]; /* header, opening, text, middle, HTML, end */
	size_t part_count;
	struct buf raw; /* of a part that is encoded whole */
};

/* What one mail fills in. */
struct person {
	uint64_t random; /* state of the generator */
	uint64_t number;
	const char *first, *last;
	char token[25], edge[17];
};

static const char *const first_names[] = {"Anna",  "Bruno", "Clara",  "David", "Elena",  "Felix",
					  "Grace", "Henry", "Irina",  "Jonas", "Katja",  "Louis",
					  "Marta", "Nils",  "Olivia", "Pedro", "Queen",  "Rosa",
					  "Samir", "Tessa", "Ulf",    "Vera",  "Walter", "Yasmin"};
static const char *const last_names[] = {
    "Abbott", "Becker", "Castillo", "Dubois",   "Eriksen", "Fischer", "Garcia", "Hoffmann",
    "Ivanov", "Jansen", "Keller",   "Lindgren", "Moreau",  "Novak",   "Olsen",  "Peters",
    "Quinn",  "Romero", "Schmidt",  "Torres",   "Unger",   "Vasquez", "Weber",  "Young"};
static const char *const goods[] = {
    "Kettle, brushed steel", "Desk lamp Nordlicht", "Wool blanket",        "Hiking socks, 3 pairs",
    "Coffee, 1 kg",          "Garden shears",       "Notebook A5, dotted", "Bicycle light",
    "Cast iron pan",         "Rain jacket",         "Tea, 20 bags",        "Picture frame"};
static const char *const words[] = {
    "the",     "season",       "brings", "new",   "colours",     "to",     "our",
    "shop",    "and",          "every",  "piece", "is",          "made",   "with",
    "care",    "by",           "people", "who",   "know",        "their",  "craft",
    "for",     "many",         "years",  "from",  "caf\303\251", "tables", "gr\303\274n",
    "wood",    "\342\200\223", "soft",   "light", "you",         "will",   "find",
    "offers",  "that",         "last",   "until", "sunday",      "while",  "stocks",
    "allow",   "delivery",     "free",   "above", "forty",       "euros",  "returns",
    "within",  "thirty",       "days",   "no",    "reason",      "needed", "only",
    "members", "collect",      "points", "with",  "each",        "order",  "they",
    "place"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* splitmix64: small, and good enough for what a compressor shall not guess. */
static uint64_t
draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void
draw_text(uint64_t *state, char *out, size_t len)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < len; i++, bits >>= 6) {
		if (i % 10 == 0)
			bits = draw(state);
		out[i] = letters[bits & 63];
	}
	out[len] = '\0';
}

/* ---- encodings ---- */

static void
add_qp(struct buf *out, const char *line, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	char coded[3 * LINE_MAX_BYTES + 256];
	size_t i, n = 0, column = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		bool plain = c != '=' && c >= ' ' && c < 127 && (c != ' ' || i + 1 < len);
		size_t width = plain ? 1 : 3;

		if (column + width > QP_LINE_MAX - 1) {
			memcpy(coded + n, "=\r\n", 3);
			n += 3;
			column = 0;
		}
		/* A dot that comes to stand in front would have to be doubled on the wire. */
		if (plain && c == '.' && column == 0) {
			plain = false;
			width = 3;
		}
		if (plain) {
			coded[n++] = (char)c;
		} else {
			coded[n++] = '=';
			coded[n++] = hex[c >> 4];
			coded[n++] = hex[c & 15];
		}
		column += width;
	}
	buf_add(out, coded, n);
	buf_add(out, "\r\n", 2);
}

static void
add_base64(struct buf *out, const char *data, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i, j, n;
	char line[80];

	for (i = 0; i < len; i += B64_LINE_BYTES) {
		size_t end = len - i < B64_LINE_BYTES ? len : i + B64_LINE_BYTES;

		for (j = i, n = 0; j < end; j += 3) {
			uint32_t v = (uint32_t)(unsigned char)data[j] << 16;

			v |= j + 1 < end ? (uint32_t)(unsigned char)data[j + 1] << 8 : 0;
			v |= j + 2 < end ? (uint32_t)(unsigned char)data[j + 2] : 0;
			line[n++] = digits[v >> 18];
			line[n++] = digits[v >> 12 & 63];
			line[n++] = j + 1 < end ? digits[v >> 6 & 63] : '=';
			line[n++] = j + 2 < end ? digits[v & 63] : '=';
		}
		line[n++] = '\r';
		line[n++] = '\n';
		buf_add(out, line, n);
	}
}

static void
add_line(struct buf *out, enum letters_encoding encoding, const char *line, size_t len)
{
	if (encoding == LETTERS_QP) {
		add_qp(out, line, len);
		return;
	}
	buf_add(out, line, len);
	buf_add(out, "\r\n", 2);
}

/* ---- the template ---- */

static void
add_piece(struct part *part, bool filled, const char *text, size_t len)
{
	struct piece *last = part->count > 0 ? &part->pieces[part->count - 1] : NULL;

	if (last != NULL && !filled && !last->filled) {
		last->text = mem_resize(last->text, last->len + len);
		memcpy(last->text + last->len, text, len);
		last->len += len;
		return;
	}
	part->pieces = mem_resize_array(part->pieces, part->count + 1, sizeof(*part->pieces));
	last = &part->pieces[part->count++];
	last->filled = filled;
	last->len = len;
	last->text = mem_alloc(len + 1);
	memcpy(last->text, text, len);
	last->text[len] = '\0';
}

static bool
has_slot(const char *line, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			return true;
	return false;
}

/* Makes a part of `text`, lines that end with \n. */
static void
add_part(struct letters *l, const char *text, enum letters_encoding encoding)
{
	struct part *part = &l->parts[l->part_count++];
	struct buf coded = {0};

	/* What is encoded whole is kept raw. */
	part->encoding = encoding;
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		buf_clear(&coded);
		if (has_slot(text, len)) {
			add_piece(part, true, text, len);
		} else {
			add_line(&coded, encoding, text, len);
			add_piece(part, false, coded.data, coded.len);
		}
		text += len + (text[len] == '\n');
	}
	buf_free(&coded);
}

static void
add_prose(struct buf *out, uint64_t *random, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		buf_printf(out, "%s%s", i > 0 ? " " : "", words[draw(random) % COUNT(words)]);
	buf_add_char(out, '.');
}

static void
write_header(const struct letters *l, struct buf *out)
{
	const char *subject = l->options.subject;

	buf_add_text(out, "From: The Corner Shop <news@shop.example>\n"
			  "To: " NAME " <" TO ">\n");
	buf_printf(out, "Subject: %s%s\n", l->options.personal_subject ? FIRST ", " : "",
		   subject != NULL ? subject : "the autumn sale begins today");
	buf_add_text(out, "Date: Mon, 01 Jun 2026 08:00:00 +0000\n"
			  "Message-ID: <" TOKEN "@news.shop.example>\n"
			  "List-Unsubscribe: <https://click.shop.example/u/" TOKEN ">,\n"
			  " <mailto:leave@shop.example?subject=" TOKEN ">\n"
			  "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
			  "Feedback-ID: 20260601:autumn:shop\n"
			  "MIME-Version: 1.0\n");
}

static void
write_style(struct buf *out)
{
	int i;

	buf_add_text(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
			  "<meta name=\"viewport\" content=\"width=device-width\">\n"
			  "<title>The Corner Shop</title>\n<style>\n");
	for (i = 0; i < 24; i++)
		buf_printf(out,
			   " .block-%d { margin: %dpx auto; padding: %dpx %dpx; color: #%06x; "
			   "font-family: Georgia, serif; }\n",
			   i, i % 7, 4 + i % 5, 8 + i % 3, 0x203040 + i * 0x010203);
	buf_add_text(out, "</style></head>\n<body>\n<table role=\"presentation\" width=\"600\">\n");
}

static void
write_article(struct buf *out, uint64_t *random, unsigned number)
{
	buf_printf(out,
		   "<tr><td class=\"block-%u\"><a href=\"https://click.shop.example/c/" TOKEN
		   "/%u/" SIGN "\"><img src=\"https://static.shop.example/2026/06/%u.jpg\" "
		   "width=\"280\" height=\"180\" alt=\"%s\"></a>\n<h2>%s</h2>\n<p>",
		   number % 24, number, number * 7919 % 10000, goods[number % COUNT(goods)],
		   goods[draw(random) % COUNT(goods)]);
	add_prose(out, random, 30);
	buf_add_text(out, "</p>\n<p>");
	add_prose(out, random, 40);
	buf_printf(
	    out,
	    "</p>\n<a class=\"button\" style=\"background: #1a6d3b; color: #ffffff; "
	    "padding: 8px 20px; border-radius: 4px\" href=\"https://click.shop.example/b/" TOKEN
	    "/%u/" SIGN "\">Have a look</a></td></tr>\n",
	    number);
}

static void
write_html(struct buf *out, uint64_t *random, size_t size)
{
	size_t begin = out->len;
	unsigned article;

	write_style(out);
	buf_add_text(
	    out,
	    "<tr><td><h1>Good morning, " FIRST "!</h1>\n<p>You have <b>" POINTS
	    "</b> points. They are good until the end of the month.</p>\n"
	    "<p>Your order " NUMBER " is on its way to you:</p>\n"
	    "<table class=\"order\"><tr><th>Article</th><th>Pieces</th><th>Price</th></tr>\n" ORDERS
	    "\n</table></td></tr>\n");
	for (article = 1; article == 1 || out->len - begin < size; article++)
		write_article(out, random, article);
	buf_add_text(out, "<tr><td class=\"footer\">This mail went to " TO
			  ". <a href=\"https://click.shop.example/u/" TOKEN "/" SIGN
			  "\">Unsubscribe</a></td></tr>\n</table>\n<img width=\"1\" height=\"1\" "
			  "src=\"https://click.shop.example/o/" TOKEN "/" SIGN
			  ".gif\">\n</body></html>\n");
}

static void
write_text(struct buf *out, uint64_t *random, size_t size)
{
	size_t begin = out->len;

	buf_add_text(out, "Good morning, " FIRST "!\n\nYou have " POINTS " points.\n"
			  "Your order " NUMBER " is on its way to you.\n\n");
	while (out->len - begin < size) {
		add_prose(out, random, 10);
		buf_add_char(out, '\n');
	}
	buf_add_text(out, "\nUnsubscribe: https://click.shop.example/u/" TOKEN "/" SIGN "\n");
}

static const char *
encoding_name(enum letters_encoding encoding)
{
	static const char *const names[] = {"8bit", "quoted-printable", "base64"};

	return names[encoding];
}

static void
make_newsletter(struct letters *l)
{
	uint64_t random = l->options.seed;
	const char *name = encoding_name(l->options.encoding);
	struct buf text = {0};

	write_header(l, &text);
	buf_printf(&text,
		   "Content-Type: multipart/alternative;\n boundary=\"=_" EDGE "\"\n\n--=_" EDGE
		   "\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: %s\n\n",
		   name);
	add_part(l, buf_text(&text), LETTERS_8BIT);
	buf_clear(&text);
	write_text(&text, &random, l->options.size / 8);
	add_part(l, buf_text(&text), l->options.encoding);
	buf_clear(&text);
	buf_printf(&text,
		   "--=_" EDGE
		   "\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: %s\n\n",
		   name);
	add_part(l, buf_text(&text), LETTERS_8BIT);
	buf_clear(&text);
	/* What is filled in and the header make the rest. */
	write_html(&text, &random, l->options.size * 7 / 10);
	add_part(l, buf_text(&text), l->options.encoding);
	add_part(l, "--=_" EDGE "--\n", LETTERS_8BIT);
	buf_free(&text);
}

/* A few header lines and ASCII text: nothing but the header differs. */
static void
make_plain(struct letters *l)
{
	uint64_t random = l->options.seed;
	struct buf text = {0};

	write_header(l, &text);
	buf_add_text(&text, "Content-Type: text/plain; charset=us-ascii\n\n");
	while (text.len < l->options.size) {
		size_t i, len = 60;

		for (i = 0; i < len; i++)
			buf_add_char(&text, (char)('a' + draw(&random) % 26));
		buf_add_char(&text, '\n');
	}
	add_part(l, buf_text(&text), LETTERS_8BIT);
	buf_free(&text);
}

struct letters *
letters_new(const struct letters_options *options)
{
	struct letters *l = mem_zalloc(sizeof(*l));

	l->options = *options;
	if (options->kind == LETTERS_HTML)
		make_newsletter(l);
	else
		make_plain(l);
	return l;
}

void
letters_free(struct letters *l)
{
	size_t i, j;

	for (i = 0; i < l->part_count; i++) {
		for (j = 0; j < l->parts[i].count; j++)
			free(l->parts[i].pieces[j].text);
		free(l->parts[i].pieces);
	}
	buf_free(&l->raw);
	free(l);
}

bool
letters_are_8bit(const struct letters *l)
{
	return l->options.kind == LETTERS_HTML && l->options.encoding == LETTERS_8BIT;
}

/* ---- one mail ---- */

void
letters_address(uint64_t number, unsigned copy, char out[LETTERS_ADDRESS_BYTES])
{
	if (copy == 0)
		snprintf(out, LETTERS_ADDRESS_BYTES, "c%ju@customers.example", (uintmax_t)number);
	else
		snprintf(out, LETTERS_ADDRESS_BYTES, "c%ju.%u@customers.example", (uintmax_t)number,
			 copy);
}

static size_t
fill_slot(char slot, struct person *p, char *out, size_t cap)
{
	char sign[13], address[LETTERS_ADDRESS_BYTES];

	switch (slot) {
	case SLOT_FIRST:
		return (size_t)snprintf(out, cap, "%s", p->first);
	case SLOT_NAME:
		return (size_t)snprintf(out, cap, "%s %s", p->first, p->last);
	case SLOT_TOKEN:
		return (size_t)snprintf(out, cap, "%s", p->token);
	case SLOT_SIGN:
		draw_text(&p->random, sign, sizeof(sign) - 1);
		return (size_t)snprintf(out, cap, "%s", sign);
	case SLOT_POINTS:
		return (size_t)snprintf(out, cap, "%u", (unsigned)(draw(&p->random) % 5000));
	case SLOT_NUMBER:
		return (size_t)snprintf(out, cap, "%010u",
					(unsigned)(draw(&p->random) % 4000000000u));
	case SLOT_EDGE:
		return (size_t)snprintf(out, cap, "%s", p->edge);
	default:
		letters_address(p->number, 0, address);
		return (size_t)snprintf(out, cap, "%s", address);
	}
}

static void
add_orders(struct buf *out, enum letters_encoding encoding, struct person *p)
{
	unsigned rows = 1 + (unsigned)(draw(&p->random) % 5);
	char line[256];
	int len;

	for (; rows > 0; rows--) {
		uint64_t r = draw(&p->random);

		len = snprintf(line, sizeof(line),
			       "<tr><td>%s</td><td>%u</td><td>%u.%02u EUR</td></tr>",
			       goods[r % COUNT(goods)], 1 + (unsigned)(r >> 8 & 3),
			       3 + (unsigned)(r >> 16 & 127), (unsigned)((r >> 32) % 100));
		add_line(out, encoding, line, (size_t)len);
	}
}

static void
add_filled(struct buf *out, enum letters_encoding encoding, const struct piece *piece,
	   struct person *p)
{
	char line[LINE_MAX_BYTES];
	size_t i, n = 0;

	if (piece->text[0] == SLOT_ORDERS) {
		add_orders(out, encoding, p);
		return;
	}
	for (i = 0; i < piece->len && n < sizeof(line) - LETTERS_ADDRESS_BYTES; i++) {
		if ((unsigned char)piece->text[i] >= ' ')
			line[n++] = piece->text[i];
		else
			n += fill_slot(piece->text[i], p, line + n, sizeof(line) - n);
	}
	add_line(out, encoding, line, n);
}

static void
add_pieces(struct buf *out, const struct part *part, struct person *p)
{
	/* base64 is put over the lines afterwards. */
	enum letters_encoding encoding =
	    part->encoding == LETTERS_BASE64 ? LETTERS_8BIT : part->encoding;
	size_t i;

	for (i = 0; i < part->count; i++) {
		if (part->pieces[i].filled)
			add_filled(out, encoding, &part->pieces[i], p);
		else
			buf_add(out, part->pieces[i].text, part->pieces[i].len);
	}
}

void
letters_add(struct letters *l, uint64_t number, struct buf *out)
{
	struct person p = {.number = number};
	size_t i;

	p.random = l->options.seed * UINT64_C(0x2545f4914f6cdd1d) + number;
	p.first = first_names[draw(&p.random) % COUNT(first_names)];
	p.last = last_names[draw(&p.random) % COUNT(last_names)];
	draw_text(&p.random, p.token, sizeof(p.token) - 1);
	draw_text(&p.random, p.edge, sizeof(p.edge) - 1);
	for (i = 0; i < l->part_count; i++) {
		if (l->parts[i].encoding != LETTERS_BASE64) {
			add_pieces(out, &l->parts[i], &p);
			continue;
		}
		buf_clear(&l->raw);
		add_pieces(&l->raw, &l->parts[i], &p);
		add_base64(out, l->raw.data, l->raw.len);
	}
}
