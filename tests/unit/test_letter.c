/*
 * The mail of an alert, and its words: header injection, encoding, escaping, templates, links, and
 * that the same alert is the same mail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alert/letter.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/mime.h"

#define AT INT64_C(1795262651123000) /* 2026-11-21T12:04:11.123Z */
#define TEXT(s) ((char[]){s})

static struct store_alert alert;
static struct store_batch batch;
static struct channel_note note;
static struct config_alert channel;
static struct buf header, body;
static struct wording w;

static int
set_up(void **state)
{
	static char *to[] = {NULL, NULL, NULL};
	static char ops[] = "ops@x.test", boss[] = "boss@x.test";
	static char event[] = "batch.opened", name[] = "mail", environment[] = "staging",
		    who[] = "gate", empty[] = "", from[] = "mailfuse@gate.example";

	(void)state;
	to[0] = ops;
	to[1] = boss;
	alert = (struct store_alert){.row = 9,
				     .event_id = 42,
				     .at = AT,
				     .event = event,
				     .channel = name,
				     .environment = environment,
				     .text = event,
				     .who = who,
				     .reason = empty};
	batch = (struct store_batch){.id = 17,
				     .state = STORE_BATCH_HELD,
				     .subject = "hi",
				     .source = "10.2.0.7",
				     .rule = "burst volume",
				     .held = 4990,
				     .recipients = 1234567,
				     .leaked = 10};
	note = (struct channel_note){.alert = &alert, .gate = "gate.example", .console = ""};
	channel = (struct config_alert){.name = name,
					.type = CONFIG_ALERT_EMAIL,
					.to = to,
					.from = from,
					.subject = empty,
					.text = empty};
	return 0;
}

static void
build(void)
{
	wording_make(&w, &note, &channel);
	letter_build(&w, &note, &channel, &header, &body);
}

static int
tear_down(void **state)
{
	(void)state;
	wording_free(&w);
	buf_free(&header);
	buf_free(&body);
	return 0;
}

static const char *
field(const char *name)
{
	const char *at = strstr(buf_text(&header), name);

	return at != NULL && (at == header.data || at[-1] == '\n') ? at + strlen(name) : "";
}

/* A part of the body without its soft line ends; free(). */
static char *
part(const char *type)
{
	const char *at = strstr(buf_text(&body), type), *end;
	struct buf out = {0};

	assert_non_null(at);
	end = strstr(at, "=_mailfuse_alert");
	assert_non_null(end);
	while (at < end) {
		if (strncmp(at, "=\r\n", 3) == 0)
			at += 3;
		else
			buf_add_char(&out, *at++);
	}
	return buf_take(&out);
}

static void
expect(const char *name, const char *value)
{
	if (strncmp(field(name), value, strlen(value)) != 0)
		fail_msg("%s%s", name, field(name));
}

static size_t
lines_of_header(void)
{
	size_t n = 0;

	for (const char *p = buf_text(&header); *p != '\0'; p = strstr(p, "\r\n") + 2)
		n += *p != ' ';
	return n;
}

static void
test_header(void **state)
{
	(void)state;
	alert.batch = 17;
	note.batch = &batch;
	build();
	expect("From:", " mailfuse <mailfuse@gate.example>\r\n");
	expect("To:", " <ops@x.test>,\r\n <boss@x.test>\r\n");
	expect("Subject:", " [mailfuse] batch.opened\r\n");
	expect("Date:", " Sat, 21 Nov 2026 12:04:11 +0000\r\n");
	expect("Auto-Submitted:", " auto-generated\r\n");
	assert_non_null(strstr(field("Message-ID:"), "-42.mail@gate.example>\r\n"));
	assert_non_null(strstr(field("References:"), "-B17@gate.example>\r\n"));
	assert_int_equal(lines_of_header(), 10);
	/* All of it is in both parts. */
	for (size_t i = 0; i < 2; i++) {
		char *text = part(i == 0 ? "text/plain; charset" : "text/html; charset");

		assert_non_null(strstr(text, "mailfuse show B17"));
		assert_non_null(strstr(text, "4,990"));
		assert_non_null(strstr(text, "1,234,567"));
		free(text);
	}
}

/* The same mail for the same alert, so that a reader sees one that came twice once. */
static void
test_same(void **state)
{
	struct buf first = {0};

	(void)state;
	build();
	buf_add(&first, header.data, header.len);
	tear_down(NULL);
	build();
	assert_string_equal(buf_text(&first), buf_text(&header));
	buf_free(&first);
}

static void
test_injection(void **state)
{
	static const char *const hostile[] = {
	    "x\r\nBcc: victim@x.test",
	    "x\nBcc: victim@x.test\n\nbody",
	    "x\rBcc: victim@x.test",
	    "x\xc2\x85"
	    "Bcc: victim@x.test",
	    "x\xe2\x80\xa8"
	    "Bcc: victim@x.test",
	    "x\x0b\x0c\x1b[2J\x7f",
	    "=?utf-8?q?x=0D=0ABcc:_victim=40x.test?=",
	    "\xff\xfe\x80",
	    "--=_mailfuse_alert\r\nContent-Type: text/html\r\n\r\n<script>",
	    "\r\n.\r\nMAIL FROM:<a@b>\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		char *text = mem_strdup(hostile[i]), *environment = mem_strdup(hostile[i]), *html;

		set_up(NULL);
		alert.text = alert.reason = text;
		alert.environment = environment;
		alert.batch = 17;
		batch.subject = batch.source = hostile[i];
		note.batch = &batch;
		channel.subject = TEXT("%e %t");
		build();
		if (lines_of_header() != 10 || strstr(buf_text(&header), "\nBcc") != NULL)
			fail_msg("row %zu: %s", i, buf_text(&header));
		assert_true(text_is_ascii(header.data, header.len));
		assert_true(text_is_ascii(body.data, body.len));
		assert_null(strstr(buf_text(&body), "\r\n.\r\n"));
		html = part("text/html; charset");
		assert_null(strstr(html, "<script"));
		free(html);
		assert_null(strchr(buf_text(&body), 0x1b));
		/* Two parts and the end. */
		assert_null(strstr(strstr(strstr(strstr(buf_text(&body), "=_mailfuse_alert") + 1,
						 "=_mailfuse_alert") +
					      1,
					  "=_mailfuse_alert") +
				       1,
				   "=_mailfuse_alert"));
		free(text);
		free(environment);
		tear_down(NULL);
	}
	set_up(NULL);
	build();
}

static void
test_html_is_escaped(void **state)
{
	char *html;

	(void)state;
	alert.text = TEXT("<img src=x onerror=\"a()\"> & 'b'");
	note.console = "https://gate.example/?a=1&b=\"2\"";
	build();
	html = part("text/html; charset");
	assert_null(strstr(html, "<img"));
	assert_non_null(strstr(html, "&lt;img src=3Dx onerror=3D&quot;"));
	assert_null(strstr(html, "b=3D\"2"));
	free(html);
}

/* Beyond ASCII: an encoded word in the header, which says the same. */
static void
test_encoded(void **state)
{
	char subject[200];
	struct arena arena = {0};
	const char *end;

	(void)state;
	alert.text = TEXT("produção: 12 Empfänger \xe6\x97\xa5\xe6\x9c\xac");
	build();
	end = strstr(field("Subject:"), "\r\nDate:");
	snprintf(subject, sizeof(subject), "%.*s", (int)(end - field("Subject:")),
		 field("Subject:"));
	assert_non_null(strstr(subject, "=?"));
	assert_non_null(strstr(mime_decode_text(subject, &arena),
			       "[mailfuse] produção: 12 Empfänger \xe6\x97\xa5\xe6\x9c\xac"));
	arena_free(&arena);
}

static void
test_templates_and_links(void **state)
{
	(void)state;
	alert.batch = 17;
	alert.reason = TEXT("because");
	alert.text = TEXT("held %t");
	note.console = "https://gate.example:8025";
	channel.subject = TEXT("%g/%e %b %n 100%%");
	channel.text = TEXT("%t%l%l%u");
	build();
	assert_string_equal(w.headline, "gate.example/staging B17 batch.opened 100%");
	assert_string_equal(w.text, "held %t\n\nhttps://gate.example:8025/batches/B17");
	assert_string_equal(w.link, "https://gate.example:8025/batches/B17");
	assert_string_equal(w.reason, "because");
	tear_down(NULL);
	/* Nobody said where the console is; no batch. */
	alert.batch = 0;
	note.console = "";
	build();
	assert_string_equal(w.text, "held %t\n\nmailfuse status");
	assert_string_equal(w.link, "");
}

/* A reason is left out only where the text ends with it, not where it has its letters. */
static void
test_reason(void **state)
{
	static const struct {
		const char *text, *template, *reason, *told;
	} rows[] = {{"everything is on hold by uid:0: no", "", "no", ""},
		    {"prod: nothing is held any more", "", "no", "no"},
		    {"prod: no, 5 released by uid:0: yes", "", "no", "no"},
		    {"everything is on hold by uid:0: no", "%n", "no", "no"},
		    {"prod: all right", "", "", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		alert.text = (char *)(uintptr_t)rows[i].text;
		alert.reason = (char *)(uintptr_t)rows[i].reason;
		channel.text = (char *)(uintptr_t)rows[i].template;
		build();
		assert_string_equal(w.reason, rows[i].told);
		tear_down(NULL);
	}
	build();
}

/* A summary's lines stand below the text, one each, whatever is in them. */
static void
test_lines(void **state)
{
	char *lines[] = {TEXT("- one\r\nBcc: victim@x.test"), TEXT("- tw\xff \xe2\x80\xaeo"), NULL};

	(void)state;
	note.lines = lines;
	alert.text = TEXT("2 more alerts within 1 min: 2 batch.opened");
	build();
	assert_string_equal(w.headline, "[mailfuse] 2 more alerts within 1 min: 2 batch.opened");
	assert_string_equal(w.text, "2 more alerts within 1 min: 2 batch.opened\n"
				    "- one  Bcc: victim@x.test\n- tw? ?o");
}

static void
test_long(void **state)
{
	char *text = mem_zalloc(30001);

	(void)state;
	for (size_t i = 0; i < 15000; i++)
		memcpy(text + 2 * i, "ü", 2);
	alert.text = text;
	build();
	assert_true(strlen(w.headline) <= 240 && text_is_utf8(w.headline, strlen(w.headline)));
	assert_true(strlen(w.text) <= 8004 && text_is_utf8(w.text, strlen(w.text)));
	for (const char *p = buf_text(&header); *p != '\0'; p = strstr(p, "\r\n") + 2)
		assert_true(strstr(p, "\r\n") - p <= 78);
	for (const char *p = buf_text(&body); *p != '\0'; p = strstr(p, "\r\n") + 2)
		assert_true(strstr(p, "\r\n") - p <= 78);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_header, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_injection, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_html_is_escaped, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_encoded, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_templates_and_links, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_reason, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
