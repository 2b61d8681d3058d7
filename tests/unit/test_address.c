/*
 * address.h: what is an address, what its parts are, and the form in which domains are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/address.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define L10 "aaaaaaaaaa"
#define L60 L10 L10 L10 L10 L10 L10
#define L63 L60 "aaa"
#define D253 L63 "." L63 "." L63 "." L60 "a"

#define E10 "\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251"
#define E60 E10 E10 E10 E10 E10 E10

enum { NULL_PATH = 1, POSTMASTER = 2 }; /* allowed */

static const struct path_row {
	const char *name, *input;
	int allowed;
	const char *text, *local, *domain, *rest;
} good_paths[] = {
    {"plain", "<anna@example.com>", 0, "anna@example.com", "anna", "example.com", ""},
    {"parameters follow", "<a@b.example> SIZE=1", 0, "a@b.example", "a", "b.example", " SIZE=1"},
    {"null", "<> BODY=7BIT", NULL_PATH, "", "", "", " BODY=7BIT"},
    {"postmaster", "<PostMaster>", POSTMASTER, "PostMaster", "PostMaster", "", ""},
    {"postmaster with a domain", "<postmaster@a.example>", POSTMASTER, "postmaster@a.example",
     "postmaster", "a.example", ""},
    {"case of local part kept", "<Anna@EXAMPLE.Com>", 0, "Anna@EXAMPLE.Com", "Anna", "example.com",
     ""},
    {"an empty quoted local part", "<\"\"@a.example>", 0, "\"\"@a.example", "", "a.example", ""},
    {"every atext", "<!#$%&'*+-/=?^_`{|}~9@a.example>", 0, "!#$%&'*+-/=?^_`{|}~9@a.example",
     "!#$%&'*+-/=?^_`{|}~9", "a.example", ""},
    {"percent is only a character", "<a%b.example@c.example>", 0, "a%b.example@c.example",
     "a%b.example", "c.example", ""},
    {"quoted", "<\"a b>@\\\"\\\\\"@c.example>", 0, "\"a b>@\\\"\\\\\"@c.example", "a b>@\"\\",
     "c.example", ""},
    {"dots anywhere", "<.a..b.@docomo.example>", 0, ".a..b.@docomo.example", ".a..b.",
     "docomo.example", ""},
    {"underscore in domain", "<root@web_1>", 0, "root@web_1", "root", "web_1", ""},
    {"final dot", "<a@b.example.>", 0, "a@b.example.", "a", "b.example", ""},
    {"one label", "<root@localhost>", 0, "root@localhost", "root", "localhost", ""},
    {"source route", "<@one.example,@two.example:a@b.example>", 0, "a@b.example", "a", "b.example",
     ""},
    {"IPv4 literal", "<a@[192.0.2.1]>", 0, "a@[192.0.2.1]", "a", "[192.0.2.1]", ""},
    {"IPv6 literal", "<a@[IPv6:2001:DB8:0:0::1]>", 0, "a@[IPv6:2001:DB8:0:0::1]", "a",
     "[ipv6:2001:db8::1]", ""},
    {"A-label", "<a@XN--BCHER-KVA.example>", 0, "a@XN--BCHER-KVA.example", "a",
     "xn--bcher-kva.example", ""},
    {"longest local part", "<" L60 "aaaa@b.example>", 0, L60 "aaaa@b.example", L60 "aaaa",
     "b.example", ""},
    {"a VERP sender's local part", "<" L60 L60 "@b.example>", 0, L60 L60 "@b.example", L60 L60,
     "b.example", ""},
    {"longest path", "<a@" L63 "." L63 "." L63 "." L60 ">", 0, "a@" L63 "." L63 "." L63 "." L60,
     "a", L63 "." L63 "." L63 "." L60, ""},
    {"UTF-8 local part", "<j\303\266rg@b.example> X", 0, "j\303\266rg@b.example", "j\303\266rg",
     "b.example", " X"},
    {"UTF-8, decomposed, as written", "<jo\314\210rg@b.example>", 0, "jo\314\210rg@b.example",
     "jo\314\210rg", "b.example", ""},
    {"UTF-8 beyond the first plane", "<\360\237\222\251@b.example>", 0,
     "\360\237\222\251@b.example", "\360\237\222\251", "b.example", ""},
    {"UTF-8 quoted", "<\"\345\260\217 \\\345\260\217\"@b.example>", 0,
     "\"\345\260\217 \\\345\260\217\"@b.example", "\345\260\217 \345\260\217", "b.example", ""},
    {"U-labels", "<a@B\303\274cher.Example>", 0, "a@B\303\274cher.Example", "a",
     "xn--bcher-kva.example", ""},
    {"U-labels and a final dot", "<a@b\303\274cher.example.>", 0, "a@b\303\274cher.example.", "a",
     "xn--bcher-kva.example", ""},
    {"U-labels all the way", "<\351\202\256@\344\276\213\345\255\220.\346\265\213>", 0,
     "\351\202\256@\344\276\213\345\255\220.\346\265\213", "\351\202\256", "xn--fsqu00a.xn--0zw",
     ""},
    {"a wide @ in the local part", "<a\357\274\240b.example@c.example>", 0,
     "a\357\274\240b.example@c.example", "a\357\274\240b.example", "c.example", ""},
    {"longest in UTF-8 octets", "<" E60 E60 "aaaa@b.example>", 0, E60 E60 "aaaa@b.example",
     E60 E60 "aaaa", "b.example", ""},
};

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static void
test_good_paths(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good_paths); i++) {
		const struct path_row *row = &good_paths[i];
		const char *at = row->input, *reason;
		struct address a;

		print_message("  %s\n", row->name);
		reason = address_parse_path(&at, row->allowed & NULL_PATH,
					    row->allowed & POSTMASTER, &arena, &a);
		assert_null(reason);
		assert_string_equal(a.text, row->text);
		assert_string_equal(a.local, row->local);
		assert_string_equal(a.domain, row->domain);
		assert_string_equal(at, row->rest);
		assert_int_equal(a.utf8, !is_ascii(row->text));
	}
	arena_free(&arena);
}

static const struct bad_row {
	const char *name, *input, *reason;
} bad_paths[] = {
    {"nothing", "", "is not in < and >"},
    {"no brackets", "a@b.example", "is not in < and >"},
    {"null where none may be", "<>", "is empty"},
    {"open", "<", "is empty"},
    {"no domain", "<anna>", "has no domain"},
    {"postmaster where it may not be", "<postmaster>", "has no domain"},
    {"no domain behind the @", "<anna@>", "has no domain"},
    {"no local part", "<@example.com>", "has nothing before the @"},
    {"no end", "<a@b.example", "has no closing >"},
    {"no end of quotes", "<\"a@b.example>", "has no closing quote"},
    {"a backslash at the end", "<\"a\\", "has no closing quote"},
    {"text behind the quotes", "<\"a\"b@c.example>", "has no domain"},
    {"a blank", "<a b@c.example>", "has a character before the @ that must be quoted"},
    {"an address in an address", "<<a@b.example>>",
     "has a character before the @ that must be quoted"},
    {"two @", "<a@b@c.example>", "has a malformed domain"},
    {"a blank in the domain", "<a@b c.example>", "has a malformed domain"},
    {"an empty label", "<a@b..example>", "has a malformed domain"},
    {"a dot first", "<a@.example>", "has a malformed domain"},
    {"two final dots", "<a@b.example..>", "has a malformed domain"},
    {"a hyphen first", "<a@-b.example>", "has a malformed domain"},
    {"a hyphen last", "<a@b-.example>", "has a malformed domain"},
    {"a long label", "<a@" L63 "a.example>", "has a malformed domain"},
    {"a route without its @", "<@one.example,two:a@b.example>", "has a malformed source route"},
    {"no domain in the route", "<@one_!:a@b.example>", "has a malformed source route"},
    {"a line end", "<a@b.example\n>", "has a malformed domain"},
    {"a control character", "<a\001@b.example>", "has a control character"},
    {"a control character, quoted", "<\"a\t\"@b.example>", "has a control character"},
    {"DEL", "<a\177@b.example>", "has a control character"},
    {"no UTF-8", "<\303@b.example>", "is not valid UTF-8"},
    {"no UTF-8 at the end", "<a\303", "is not valid UTF-8"},
    {"latin-1", "<j\366rg@b.example>", "is not valid UTF-8"},
    {"an overlong /", "<\300\257@b.example>", "is not valid UTF-8"},
    {"an overlong @", "<a\340\201\200b.example>", "is not valid UTF-8"},
    {"a surrogate", "<\355\240\200@b.example>", "is not valid UTF-8"},
    {"beyond Unicode", "<\364\220\200\200@b.example>", "is not valid UTF-8"},
    {"a bad byte in quotes", "<\"\200\"@b.example>", "is not valid UTF-8"},
    {"C1: next line", "<a\302\205b@b.example>", "has a control character"},
    {"C1: CSI, in quotes", "<\"\302\233\"@b.example>", "has a control character"},
    {"C1, quoted with a backslash", "<\"\\\302\205\"@b.example>", "has a control character"},
    {"a line separator", "<a\342\200\250@b.example>", "has a control character"},
    {"an override of direction", "<a\342\200\256@b.example>", "has a control character"},
    {"a noncharacter", "<a\357\277\277@b.example>", "has a control character"},
    {"a noncharacter of another plane", "<a\360\237\277\276@b.example>", "has a control character"},
    {"a noncharacter in the middle", "<a\357\267\220@b.example>", "has a control character"},
    {"UTF-8, no domain", "<j\303\266rg>", "has no domain"},
    {"a wide @ is no @", "<a\357\274\240b.example>", "has no domain"},
    {"a domain that is no UTF-8", "<a@b\374cher.example>", "has a malformed domain"},
    {"a wide @ in the domain", "<a@b\357\274\240c.example>", "has a malformed domain"},
    {"a C1 control in the domain", "<a@b\302\205.example>", "has a malformed domain"},
    {"wide letters for an ASCII domain", "<a@\357\275\205xample.com>",
     "has a domain that is not written in U-labels: send it as xn-- labels"},
    {"the Kelvin sign", "<a@\342\204\252.example>",
     "has a domain that is not written in U-labels: send it as xn-- labels"},
    {"a soft hyphen", "<a@exam\302\255ple.com>",
     "has a domain that is not written in U-labels: send it as xn-- labels"},
    {"an ideographic full stop", "<a@b\303\274cher\343\200\202example>",
     "has a domain that is not written in U-labels: send it as xn-- labels"},
    {"an ideographic full stop, ASCII", "<a@b\343\200\202example>",
     "has a domain that is not written in U-labels: send it as xn-- labels"},
    {"UTF-8 too long in octets", "<" E60 E60 E10 "@b.example>", "has more than 254 characters"},
    {"UTF-8 in the route", "<@b\303\274cher.example:a@b.example>", "has a malformed source route"},
    {"a domain too long", "<a@" L63 "." L63 "." L63 "." L63 ".a>",
     "has a domain of more than 255 characters"},
    {"a path too long", "<a@" D253 ">", "has more than 254 characters"},
    {"no address in the literal", "<a@[]>", "has a malformed address literal after the @"},
    {"a name in the literal", "<a@[b.example]>", "has a malformed address literal after the @"},
    {"300 in the literal", "<a@[192.0.2.300]>", "has a malformed address literal after the @"},
    {"IPv6 without its tag", "<a@[2001:db8::1]>", "has a malformed address literal after the @"},
    {"an open literal", "<a@[192.0.2.10>", "has a malformed address literal after the @"},
    {"text behind the literal", "<a@[192.0.2.1]b>", "has a malformed address literal after the @"},
};

static void
test_bad_paths(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad_paths); i++) {
		const struct bad_row *row = &bad_paths[i];
		const char *at = row->input, *reason;
		struct address a;

		print_message("  %s\n", row->name);
		reason = address_parse_path(&at, false, false, &arena, &a);
		assert_non_null(reason);
		assert_string_equal(reason, row->reason);
		assert_null(a.text);
		assert_null(a.local);
		assert_null(a.domain);
	}
	arena_free(&arena);
}

static const struct plain_row {
	const char *name, *input;
	const char *text; /* NULL: refused */
	const char *domain;
} plain_rows[] = {
    {"plain", "anna@Example.com", "anna@Example.com", "example.com"},
    {"U-labels become A-labels", "Ops@B\303\234cher.example", "Ops@xn--bcher-kva.example",
     "xn--bcher-kva.example"},
    {"UTF-8 local part and U-labels", "j\303\266rg@b\303\274cher.example",
     "j\303\266rg@xn--bcher-kva.example", "xn--bcher-kva.example"},
    {"wide letters become what they mean", "a@\357\275\205xample.com", "a@example.com",
     "example.com"},
    {"a control character", "a\302\205@b.example", NULL, NULL},
    {"brackets", "<a@b.example>", NULL, NULL},
    {"a closing bracket", "a@b.example>", NULL, NULL},
    {"null", "", NULL, NULL},
    {"postmaster", "postmaster", NULL, NULL},
    {"blank behind", "a@b.example ", NULL, NULL},
    {"two addresses", "a@b.example,c@d.example", NULL, NULL},
};

static void
test_plain(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(plain_rows); i++) {
		const struct plain_row *row = &plain_rows[i];
		struct address a;
		const char *reason = address_parse(row->input, &arena, &a);

		print_message("  %s\n", row->name);
		if (row->text == NULL) {
			assert_non_null(reason);
			assert_null(a.text);
			continue;
		}
		assert_null(reason);
		assert_string_equal(a.text, row->text);
		assert_string_equal(a.domain, row->domain);
		assert_int_equal(a.utf8, !is_ascii(row->text));
	}
	arena_free(&arena);
}

static const struct domain_row {
	const char *name, *input, *wanted;
} domain_rows[] = {
    {"case", "Mail.EXAMPLE.com", "mail.example.com"},
    {"final dot", "example.com.", "example.com"},
    {"U-labels", "b\303\274cher.EXAMPLE", "xn--bcher-kva.example"},
    {"upper case U-label", "B\303\234CHER.example", "xn--bcher-kva.example"},
    {"decomposed", "bu\314\210cher.example", "xn--bcher-kva.example"},
    {"sharp s is kept (nontransitional)", "fa\303\237.example", "xn--fa-hia.example"},
    {"ideographic full stop", "b\303\274cher\343\200\202example", "xn--bcher-kva.example"},
    {"wide letters", "\357\275\205xample.com", "example.com"},
    {"longest", D253, D253},
    {"empty", "", NULL},
    {"only a dot", ".", NULL},
    {"a wide @", "a\357\274\240b.example", NULL},
    {"a wide slash", "a\357\274\217b.example", NULL},
    {"not UTF-8", "b\374cher.example", NULL},
    {"a literal", "[192.0.2.1]", NULL},
    {"a blank", "a b", NULL},
    {"a line end", "a.example\n", NULL},
    {"a glob", "*.example", NULL},
};

static void
test_canonical_domain(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(domain_rows); i++) {
		const struct domain_row *row = &domain_rows[i];
		char *domain = address_canonical_domain(row->input, &arena);

		print_message("  %s\n", row->name);
		if (row->wanted == NULL) {
			assert_null(domain);
			continue;
		}
		assert_non_null(domain);
		assert_string_equal(domain, row->wanted);
	}
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good_paths),
	    cmocka_unit_test(test_bad_paths),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_canonical_domain),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
