/*
 * The content rules of etc/production.conf, held against mail that they are for and mail that they
 * are not for: who copies that file relies on both.
 */
#include "tests/unit/content_fixture.h"

#include "base/mem.h"

static struct config *shipped;

static int
shipped_load(void **state)
{
	const char *top = getenv("srcdir");
	char *path = mem_printf("%s/etc/production.conf", top != NULL ? top : ".");
	struct buf errors = {0};

	(void)state;
	shipped = config_load_policy(path, &errors);
	if (shipped == NULL)
		fail_msg("%s", buf_text(&errors));
	buf_free(&errors);
	free(path);
	return 0;
}

static int
shipped_free(void **state)
{
	(void)state;
	config_unref(shipped);
	return 0;
}

/* The names of the shipped rules that match, with a comma between them. */
static void
shipped_matches(const struct message *m, struct buf *out)
{
	const struct config_environment *e = config_find_environment(shipped, "production");
	struct content_view v;
	struct arena arena = {0};
	size_t i;

	assert_true(e->content_count > 0);
	content_view_init(&v, m);
	for (i = 0; i < e->content_count; i++) {
		struct content *c = content_make(&e->contents[i]);

		if (content_match(c, &v, &arena, NULL))
			buf_printf(out, "%s%s", out->len > 0 ? ", " : "", e->contents[i].name);
		content_free(c);
	}
	content_view_free(&v);
	arena_free(&arena);
}

/* What matches in a message of that subject, plain text and HTML. */
static void
shipped_check(const char *subject, const char *plain, const char *html, const char *wanted)
{
	struct buf text = {0}, found = {0};
	struct message *m;

	buf_printf(&text, "Subject: %s\r\n" ALTERNATIVE "\r\n" PLAIN_PART "%s\r\n", subject, plain);
	buf_printf(&text, HTML_PART "<p>%s</p>\r\n" END, html);
	m = message_make(text.data);
	shipped_matches(m, &found);
	if (strcmp(buf_text(&found), wanted) != 0)
		fail_msg(
		    "subject \"%s\", text \"%s\", HTML \"%s\": \"%s\" matches instead of \"%s\"",
		    subject, plain, html, buf_text(&found), wanted);
	message_free(m);
	buf_free(&text);
	buf_free(&found);
}

static void
test_shipped_subjects(void **state)
{
	static const struct {
		const char *subject, *wanted;
	} rows[] = {
#define MAIL "test mail, test word"
	    {"TEST", MAIL},
	    {"test", MAIL},
	    {"[test]", MAIL},
	    {"[TEST] Your order", MAIL},
	    {"Your order (test)", MAIL},
	    {"Test 123", MAIL},
	    {"testing 1 2 3", MAIL},
	    {"Test!!!", MAIL},
	    {"*** test ***", MAIL},
	    {"Integration Test Email #1", MAIL},
	    {"Test e-mail", MAIL},
	    {"This is a test message", MAIL},
	    {"Re: Test mail", MAIL},
	    {"=?utf-8?b?VGVzdA==?=", MAIL},
	    {"=?utf-8?q?=5Btest=5D_Gr=C3=BC=C3=9Fe?=", MAIL},
	    {"=?iso-8859-1?Q?te?= =?utf-8?q?st?=", MAIL},
	    {"asdf", "test mail"},
	    {"asdfasdf", "test mail"},
	    {"foo bar", "test mail"},
	    {"Please ignore this message", "test mail"},
	    {"Your test results are ready", "test word"},
	    {"Tests of the new lift", "test word"},
	    {"Penetration testing: our offer", "test word"},
	    {"Pre-test checklist", "test word"},

	    {"Our latest news", ""},
	    {"Win the contest", ""},
	    {"Protest in the city centre", ""},
	    {"A testimonial from Anna", ""},
	    {"Last will and testament", ""},
	    {"The greatest sale", ""},
	    {"Attestation", ""},
	    {"Testa Rossa is back", ""},
	    {"Fastest route", ""},
	    {"Detest? Contested!", ""},
	    {"=?utf-8?q?T=C3=A9st?=", ""},
	    {"=?utf-8?q?Der_gr=C3=B6=C3=9Fte_Preistest?=", ""},
	    {"We ignore this at our peril", ""},
	    {"The foo bar opens in Berlin", ""},
	    {"Order 1042", ""},
	    {"", ""},

#define PLACE "placeholder in subject"
	    {"Hello {{name}}", PLACE},
	    {"Hello {{ user.first_name }}!", PLACE},
	    {"Hello {{{name}}}", PLACE},
	    {"${name}, your order", PLACE},
	    {"#{user.name}, your order", PLACE},
	    {"%FIRSTNAME%, come back", PLACE},
	    {"%first_name%, come back", PLACE},
	    {"{first_name}, come back", PLACE},
	    {"{firstName}, come back", PLACE},
	    {"{order.number} is on its way", PLACE},
	    {"{$name} is on its way", PLACE},
	    {"<%= name %>, come back", PLACE},
	    {"{% if name %}Hello", PLACE},
	    {"[[name]], come back", PLACE},
	    {"[First Name], come back", PLACE},
	    {"[YOUR_NAME], come back", PLACE},
	    {"*|FNAME|*, come back", PLACE},
	    {"Dear null", PLACE},
	    {"Dear null, your order", PLACE},
	    {"Hello undefined", PLACE},
	    {"Hi None!", PLACE},
	    {"Hello, NaN", PLACE},
	    {"Hello %s,", PLACE},
	    {"Your [object Object] is here", PLACE},

	    {"100% cotton", ""},
	    {"Save 20%, 30% or 50%", ""},
	    {"20%OFF and 30%OFF today", ""},
	    {"100%WOOL% of it", ""},
	    {"Up to 70 % off", ""},
	    {"$5 {almost} free", ""},
	    {"US$ 100", ""},
	    {"Sets {1, 2} and {a, b}", ""},
	    {"[Reminder] Your appointment", ""},
	    {"[name of the project] weekly", ""},
	    {"Hello Nullarbor", ""},
	    {"Dear Undefined Records fans", ""},
	    {"Hello none the wiser", ""},
	    {"Hi Nilofar!", ""},
	    {"A null result", ""},
	    {"** Sale **", ""},
	    {"*Sale* | *News*", ""},
	    {"a <% b", ""},
	    {"=?utf-8?q?100=25_Baumwolle?=", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++)
		shipped_check(rows[i].subject, "Hello Anna", "Hello Anna", rows[i].wanted);
}

static void
test_shipped_texts(void **state)
{
	static const struct {
		const char *text;
		const char *in; /* "placeholder", "filler", "staging link", "" */
	} rows[] = {
	    {"Dear {{name}},", "placeholder"},
	    {"Hello\r\n{{#if items}}", "placeholder"},
	    {"Pay ${order['total']} now", "placeholder"},
	    {"Hello %FIRSTNAME%!", "placeholder"},
	    {"Dear %%emailname%%,", "placeholder"},
	    {"Hello {first_name}, hello {email}", "placeholder"},
	    {"Hello <%= name %>,", "placeholder"},
	    {"<%- include('footer') %>", "placeholder"},
	    {"<?php echo $name ?>", "placeholder"},
	    {"Hello [[name]],", "placeholder"},
	    {"Dear *|FNAME|*,", "placeholder"},
	    {"Dear null,", "placeholder"},
	    {"Hello undefined, your order", "placeholder"},
	    {"Dear None,", "placeholder"},
	    {"Total: [object Object]", "placeholder"},
	    {"{%- for item in items %}", "placeholder"},

	    {"{\"name\": \"Anna\", \"items\": [{\"id\": 1}, {\"id\": 2}]}", ""},
	    {"{'a': {'b': {}}}", ""},
	    {"{name: \"Anna\", tags: [[1, 2], [3]]}", ""},
	    {"{\"@context\":\"http://schema.org\",\"@graph\":[{\"@type\":\"Order\"}]}", ""},
	    {"a[b[0]] = c[[1]]", ""},
	    {"See [1] and [[2]].", ""},
	    {"It is 100% yours, 50% off, %20 and a%20b%20c", ""},
	    {"https://shop.example/?q=%E2%80%99&r=%D0%BF%D1%80%D0%B8", ""},
	    {"https://shop.example/%C3%BCber%AB%ABC", ""},
	    {"It costs $20 (US$ {20}) or \xe2\x82\xac"
	     "20.",
	     ""},
	    {"#1 and #2 {see below}", ""},
	    {"5 < 6, 7 > 4 %, <3", ""},
	    {"Hello Anna, nothing is null and void.", ""},
	    {"Hi, none of this is undefined.", ""},
	    {"| a | * | b |", ""},
	    {"-*|* *|*-", ""},
	    {"if (a) { b(); } else { c(); }", ""},
	    {"{email us}", ""},
	    {"{ }, {{ }}, {{}}", ""},
	    {"[user guide] [name] [your basket]", ""},

	    {"Lorem ipsum", "filler"},
	    {"LOREM\r\nIPSUM dolor", "filler"},
	    {"consetetur dolor sit amet", "filler"},
	    {"Lore, ipso facto", ""},
	    {"floremipsum", ""},
	    {"The dolorous site", ""},

	    {"http://localhost/", "staging link"},
	    {"See http://localhost:3000/orders/1", "staging link"},
	    {"HTTPS://LOCALHOST", "staging link"},
	    {"localhost:8080/x", "staging link"},
	    {"http://127.0.0.1:8000/", "staging link"},
	    {"http://[::1]/", "staging link"},
	    {"http://0.0.0.0:5000", "staging link"},
	    {"https://staging.shop.example/a", "staging link"},
	    {"https://www.staging.shop.example", "staging link"},
	    {"https://shop-staging.shop.example/", "staging link"},
	    {"https://shop-uat.shop.example/", "staging link"},
	    {"https://preprod.shop.example/", "staging link"},
	    {"http://shop.local/", "staging link"},
	    {"(see https://shop.test).", "staging link"},
	    {"https://shop.test:8443/x", "staging link"},
	    {"https://api.shop.test?x=1", "staging link"},

	    {"https://www.shop.example/localhost", ""},
	    {"https://shop.example/staging/1", ""},
	    {"https://upstaging.shop.example/", ""},
	    {"https://shop.example/?env=staging.x", ""},
	    {"https://test.com/ and https://a.test.com/", ""},
	    {"https://shop.testing.example/", ""},
	    {"https://local.shop.example/ https://shop.locale.example/", ""},
	    {"https://localhost.run/", ""},
	    {"https://127.example.com/", ""},
	    {"https://127.0.0.1.nip.example/", ""},
	    {"The staging. of the play", ""},
	    {"root@localhost wrote:", ""},
	    {"anna@shop.test", ""},
	    {"localhost: the machine itself", ""},
	};
	char wanted[100];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		const char *in = rows[i].in;

		snprintf(wanted, sizeof(wanted), "%s%s", in,
			 *in != '\0' ? (strcmp(in, "filler") == 0 ? " text" : " in text") : "");
		shipped_check("Order 1042", rows[i].text, "Hello Anna", wanted);
		snprintf(wanted, sizeof(wanted), "%s%s", in,
			 *in != '\0' ? (strcmp(in, "filler") == 0 ? " HTML" : " in HTML") : "");
		shipped_check("Order 1042", "Hello Anna", rows[i].text, wanted);
	}
}

static void
test_shipped_html(void **state)
{
	static const struct {
		const char *html, *wanted;
	} rows[] = {
	    {"<a href=\"{{url}}\">Pay</a>", "placeholder in HTML"},
	    {"<a href='http://localhost:3000/x'>Pay</a>", "staging link in HTML"},
	    {"<img src=https://staging.shop.example/logo.png>", "staging link in HTML"},
	    {"<a href=\"https://shop.local\">Pay</a>", "staging link in HTML"},
	    {"lorem&nbsp;ipsum", "filler HTML"},
	    {"<style>a{color:red}@media only screen{.b{width:100%!important}}</style>", ""},
	    {"<style>.a{width:50%}.b:hover{margin:0 5%}@font-face{font-family:x}</style>", ""},
	    {"<!--[if mso]><xml><o:x>96</o:x></xml><![endif]-->", ""},
	    {"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">", ""},
	    {"<script type=\"application/ld+json\">{\"a\":{\"b\":[{}]}}</script>", ""},
	    {"<td width=\"100%\" style=\"width:100%;max-width:600px\">", ""},
	    {"<img src=\"cid:logo@shop.local\">", ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++)
		shipped_check("Order 1042", "Hello Anna", rows[i].html, rows[i].wanted);
}

static void
test_shipped_empty(void **state)
{
	static const struct {
		const char *name, *message;
		bool empty;
	} rows[] = {
	    {"no body", "Subject: x\r\n\r\n", true},
	    {"no empty line", "Subject: x\r\n", true},
	    {"line ends", "Subject: x\r\n\r\n\r\n \t\r\n\r\n", true},
	    {"blanks of Unicode",
	     TYPE("text/plain; charset=utf-8") "\r\n\xc2\xa0\xe2\x80\x8b\xef\xbb\xbf", true},
	    {"HTML with nothing in it",
	     TYPE("text/html") "\r\n<html><head><title>Order</title><style>a{}"
			       "</style></head><body><p>&nbsp;</p></body></html>",
	     true},
	    {"a preview of no width",
	     TYPE("text/html") "\r\n<div>&zwnj;&nbsp;&#847;&#8203;&shy;</div>", true},
	    {"two empty parts", ALTERNATIVE "\r\n" PLAIN_PART "\r\n" HTML_PART "<br>\r\n" END,
	     true},
	    {"a multipart without parts", ALTERNATIVE "\r\n", true},
	    {"a word", "Subject: x\r\n\r\nHello\r\n", false},
	    {"a dot", "Subject: x\r\n\r\n.\r\n", false},
	    {"a letter of another script", TYPE("text/plain; charset=utf-8") "\r\n\xe4\xbd\xa0",
	     false},
	    {"text only in the HTML",
	     ALTERNATIVE "\r\n" PLAIN_PART "\r\n" HTML_PART "Hello\r\n" END, false},
	    {"an image in the HTML",
	     TYPE("text/html") "\r\n<body><a href=x><IMG src=\"cid:poster\"></a></body>", false},
	    {"a background in the HTML", TYPE("text/html") "\r\n<td background=\"x.png\"> </td>",
	     false},
	    {"an image", TYPE("image/png") "\r\niVBOR", false},
	    {"an attachment and no text",
	     MIXED "\r\n" PLAIN_PART
		   "\r\n--b\r\n" TYPE("application/pdf") "Content-Disposition: "
							 "attachment\r\n\r\n%PDF\r\n" END,
	     false},
	    {"a text as attachment",
	     MIXED "\r\n" PLAIN_PART
		   "\r\n--b\r\n" TYPE("text/plain") "Content-Disposition: "
						    "attachment\r\n\r\nlog\r\n" END,
	     false},
	    {"an invitation", TYPE("text/calendar") "\r\nBEGIN:VCALENDAR\r\n", false},
	    {"what is no field", "Subject: x\r\nHello you\r\n", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct message *m = message_make(rows[i].message);
		struct buf found = {0};

		print_message("  %s\n", rows[i].name);
		shipped_matches(m, &found);
		assert_string_equal(buf_text(&found), rows[i].empty ? "empty body" : "");
		message_free(m);
		buf_free(&found);
	}
}

/* A body whose beginning is blank, and of which more is there. */
static void
test_shipped_cut(void **state)
{
	struct message *m = message_make("Subject: x\r\n\r\n");
	struct buf found = {0};
	size_t i;

	(void)state;
	for (i = 0; i < MESSAGE_SAMPLE_MAX; i += 2)
		chunks_add(&m->body, "\r\n", 2);
	m->body_bytes = m->body.bytes;
	shipped_matches(m, &found);
	assert_string_equal(buf_text(&found), "empty body");
	buf_clear(&found);
	m->body_bytes++;
	shipped_matches(m, &found);
	assert_string_equal(buf_text(&found), "");
	message_free(m);
	buf_free(&found);
}

/* Long bodies of what each expression begins with: none of them gives up, so none holds the mail.
 */
static void
test_shipped_long(void **state)
{
	static const char *const pieces[] = {
	    "a",
	    "word ",
	    "{",
	    "{{",
	    "{{a ",
	    "[",
	    "[[a",
	    "%",
	    "%AB",
	    "%A ",
	    "<",
	    "<%",
	    "*|a ",
	    "${a ",
	    " ",
	    "\n",
	    "http://",
	    "http://a.",
	    "https://staging",
	    "http://127.0.0.1.",
	    "Dear ",
	    "hello, ",
	    "lorem ",
	    "lorem&nbsp;",
	    "dolor sit ",
	    "{a_b",
	    "\xc3\xa4",
	    "\xf0\x9f\x98\x80",
	    "9876543210/+",
	    "http://a-b-staging",
	    "a.b.c.d.e-",
	    "{name",
	    "%nam",
	    "dear  ",
	    "[first name",
	    "=3D",
	    "&nbsp;",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(pieces); i++) {
		struct message *m = message_make(TYPE("text/plain; charset=utf-8") "\r\n");
		struct buf found = {0};

		chunks_add(&m->body, "x\r\n", 3);
		while (m->body.bytes + strlen(pieces[i]) <= MESSAGE_SAMPLE_MAX)
			chunks_add(&m->body, pieces[i], strlen(pieces[i]));
		m->body_bytes = m->body.bytes;
		shipped_matches(m, &found);
		if (found.len > 0)
			fail_msg("\"%s\" again and again: %s", pieces[i], found.data);
		message_free(m);
		buf_free(&found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shipped_subjects), cmocka_unit_test(test_shipped_texts),
	    cmocka_unit_test(test_shipped_html),     cmocka_unit_test(test_shipped_empty),
	    cmocka_unit_test(test_shipped_cut),      cmocka_unit_test(test_shipped_long),
	};

	mime_init();
	return cmocka_run_group_tests(tests, shipped_load, shipped_free);
}
