/*
 * What the mail room makes, as a program: mail_format.py gives it values and reads its output with
 * Python's parser. `mail_tool dsn HOSTNAME ID ABOUT TO ENVID {failed|relayed ADDRESS ORCPT REPLY
 * REMOTE-MTA}...` prints the notification about the header on standard input; `mail_tool seven
 * PIECE` prints the message on standard input in 7 bits, fed in pieces of that size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mail/dsn.h"
#include "mail/mime.h"
#include "mail/seven.h"

static void
read_all(struct buf *in)
{
	char piece[65536];
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
		buf_add(in, piece, n);
}

static int
print_dsn(int argc, char **argv)
{
	size_t count = (size_t)argc / 5 - 1, i;
	struct dsn_recipient *r = mem_zalloc(count * sizeof(*r));
	struct buf original = {0}, header = {0}, body = {0};
	struct dsn d = {argv[0], argv[1], argv[2], argv[3], argv[4], 0, 0, r, count, NULL, 0};
	bool eightbit, utf8;

	read_all(&original);
	d.header = buf_text(&original);
	d.header_len = original.len;
	d.arrived_at = INT64_C(1795262651) * CLOCK_SECOND;
	d.now = d.arrived_at + CLOCK_MINUTE;
	for (i = 0; i < count; i++) {
		char **v = argv + 5 * (i + 1);

		r[i] =
		    (struct dsn_recipient){strcmp(v[0], "failed") == 0 ? DSN_FAILED : DSN_RELAYED,
					   v[1],
					   v[2],
					   v[3],
					   v[4],
					   d.now};
	}
	dsn_build(&d, &header, &body, &eightbit, &utf8);
	fprintf(stderr, "%s\n", utf8 ? "utf8" : eightbit ? "8bit" : "7bit");
	fwrite(header.data, 1, header.len, stdout);
	fputs("\r\n", stdout);
	fwrite(body.data, 1, body.len, stdout);
	buf_free(&original);
	buf_free(&header);
	buf_free(&body);
	free(r);
	return 0;
}

static void
print(void *context, const char *data, size_t len)
{
	fwrite(data, 1, len, context);
}

static int
print_seven(size_t piece)
{
	struct seven *s = seven_new();
	struct buf in = {0};
	size_t at, n;

	read_all(&in);
	for (at = 0; at < in.len; at += n) {
		n = in.len - at < piece ? in.len - at : piece;
		seven_feed(s, in.data + at, n, print, stdout);
	}
	seven_finish(s, print, stdout);
	seven_free(s);
	buf_free(&in);
	return 0;
}

int
main(int argc, char **argv)
{
	mime_init();
	if (argc >= 12 && argc % 5 == 2 && strcmp(argv[1], "dsn") == 0)
		return print_dsn(argc - 2, argv + 2);
	if (argc == 3 && strcmp(argv[1], "seven") == 0)
		return print_seven(strtoul(argv[2], NULL, 10));
	fputs("usage: see the top of mail_tool.c\n", stderr);
	return 2;
}
