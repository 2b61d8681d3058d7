/*
 * pattern.h: what each kind of pattern matches, what it must not, and how bad ones are refused.
 */
#include "tests/unit/filters_fixture.h"

#include "filters/pattern.h"

struct row {
	const char *name, *pattern, *text;
	bool wanted;
};

static const struct row address_rows[] = {
    {"a literal", "qa@example.com", "qa@example.com", true},
    {"a literal in another case", "QA@Example.COM", "qa@eXample.com", true},
    {"a literal is not its beginning", "qa@example.com", "qa@example.com.evil.test", false},
    {"a literal is not its end", "qa@example.com", "xqa@example.com", false},
    {"a domain", "@example.com", "a.b+c@example.com", true},
    {"a domain in another case", "@EXAMPLE.com", "a@example.COM", true},
    {"a domain is not its subdomains", "@example.com", "a@mail.example.com", false},
    {"a domain is not a longer name", "@example.com", "a@notexample.com", false},
    {"a domain is not a longer end", "@example.com", "a@example.com.evil.test", false},
    {"a domain with a final dot", "@example.com.", "a@example.com", true},
    {"subdomains", "@.example.com", "a@mail.example.com", true},
    {"subdomains of any depth", "@.example.com", "a@x.y.example.com", true},
    {"subdomains and the domain too", "@.example.com", "a@example.com", true},
    {"subdomains end at a dot", "@.example.com", "a@notexample.com", false},
    {"a U-label in the pattern",
     "@b\xc3\xbc"
     "cher.example",
     "a@xn--bcher-kva.example", true},
    {"a U-label and subdomains",
     "@.b\xc3\xbc"
     "cher.example",
     "a@www.xn--bcher-kva.example", true},
    {"an A-label in another case", "@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", true},
    {"an address literal", "@[192.0.2.1]", "a@[192.0.2.1]", true},
    {"a glob in the local part", "qa-*@partner.test", "QA-7@partner.test", true},
    {"a glob's star stays on its side", "qa-*@partner.test", "qa-7@evil.test", false},
    {"a quoted @ does not cross over", "qa-*@partner.test", "\"qa-x@partner.test\"@evil.test",
     false},
    {"a question mark is one byte", "qa-?@partner.test", "qa-17@partner.test", false},
    {"a glob in the domain", "*@*.example.com", "a@x.example.com", true},
    {"a glob in the domain needs its dot", "*@*.example.com", "a@example.com", false},
    {"a domain with a glob", "@qa*.example.com", "a@qa2.example.com", true},
    {"any domain", "postmaster@*", "postmaster@anything.test", true},
    {"anything", "*", "a@b.test", true},
    {"a percent hack is not its domain", "@example.com", "v%customer.test@example.com", false},
    {"a bang path is not a subdomain", "@.example.com", "customer.test!v@a.example.com", false},
    {"a quoted address is not a glob", "*@example.com", "\"v@customer.test\"@example.com", false},
    {"a percent hack is not a regex", "/@example\\.com$/", "v%customer.test@example.com", false},
    {"a percent hack as a whole address", "50%off@example.com", "50%off@example.com", true},
    {"a percent hack where all is allowed", "*", "v%customer.test@example.com", true},
    {"a regex", "/^qa[0-9]+@example\\.com$/", "qa17@example.com", true},
    {"a regex has case", "/^qa@/", "QA@example.com", false},
    {"a regex with i", "/^qa@/i", "QA@example.com", true},
    {"a regex sees the canonical domain", "/@example\\.com$/", "a@EXAMPLE.com", true},
    {"a regex's end is the end", "/@example\\.com$/", "a@example.com.evil.test", false},
    {"a regex with a slash", "/^a/b@/", "a/b@example.com", true},
    {"a regex within its limit", "/^(?:(a+)+$|.*@example\\.com$)/", "aaaa@example.com", true},
    {"a regex a little beyond its limit", "/^(?:(a+)+$|.*@example\\.com$)/",
     "aaaaaaaaaaaaaaaaaaaa@example.com", false},
    {"a regex beyond its limit", "/^(?:(a+)+$|.*@example\\.com$)/",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.com", false},
    {"UTF-8 in a local part", "@example.com", "j\xc3\xb6rg@example.com", true},
    {"a UTF-8 literal", "j\xc3\xb6rg@example.com", "J\xc3\xb6RG@Example.com", true},
    {"a UTF-8 literal has case beyond ASCII", "j\xc3\xb6rg@example.com", "J\xc3\x96RG@example.com",
     false},
    {"a UTF-8 literal is not another form of it", "j\xc3\xb6rg@example.com",
     "jo\xcc\x88rg@example.com", false},
    {"a UTF-8 literal and U-labels",
     "j\xc3\xb6rg@b\xc3\xbc"
     "cher.example",
     "j\xc3\xb6rg@B\xc3\x9c"
     "CHER.example",
     true},
    {"UTF-8 is not what it looks like", "anna@example.com", "\xd0\xb0nna@example.com", false},
    {"UTF-8 is not its base letter", "jorg@example.com", "j\xc3\xb6rg@example.com", false},
    {"wide letters are not ASCII", "qa@example.com", "\xef\xbd\x91\xef\xbd\x81@example.com", false},
    {"the Kelvin sign is no k", "kate@example.com",
     "\xe2\x84\xaa"
     "ate@example.com",
     false},
    {"the long s is no s", "sam@example.com",
     "\xc5\xbf"
     "am@example.com",
     false},
    {"the dotless i is no i", "ina@example.com", "\xc4\xb1na@example.com", false},
    {"a soft hyphen counts", "anna@example.com", "an\xc2\xadna@example.com", false},
    {"a glob takes UTF-8", "qa-*@example.com", "qa-\xc3\xb6@example.com", true},
    {"a glob and the Kelvin sign", "k*@example.com",
     "\xe2\x84\xaa"
     "ate@example.com",
     false},
    {"a question mark is not two bytes", "qa-?@example.com", "qa-\xc3\xb6@example.com", false},
    {"a regex takes UTF-8", "/^j.rg@example\\.com$/", "j\xc3\xb6rg@example.com", true},
    {"a regex without case takes UTF-8", "/^j\xc3\xb6rg@/i", "J\xc3\x96RG@example.com", true},
    {"a regex and the Kelvin sign", "/^kate@example\\.com$/i",
     "\xe2\x84\xaa"
     "ate@example.com",
     false},
    {"a regex and the long s", "/^sam@example\\.com$/i",
     "\xc5\xbf"
     "am@example.com",
     false},
    {"a regex and two long s", "/^.?ss@/i", "\xc5\xbf\xc5\xbf@example.com", false},
    {"a regex that turns case off itself", "/^(?i)kate@/",
     "\xe2\x84\xaa"
     "ate@example.com",
     false},
    {"a regex's digits are ASCII", "/^qa\\d+@example\\.com$/", "qa\xd9\xa3@example.com", false},
    {"a regex's words are ASCII", "/^\\w+@example\\.com$/", "j\xc3\xb6rg@example.com", false},
    {"a wide percent sign is not its domain", "@example.com",
     "v\xef\xbc\x85"
     "customer.test@example.com",
     false},
    {"a wide @ is not its domain", "@example.com",
     "v\xef\xbc\xa0"
     "customer.test@example.com",
     false},
    {"a small @ is not a glob", "v*@example.com",
     "v\xef\xb9\xab"
     "customer.test@example.com",
     false},
    {"a wide @ where all is allowed", "*",
     "v\xef\xbc\xa0"
     "customer.test@example.com",
     true},
};

static const struct row text_rows[] = {
    {"a word occurs", "invoice", "Your Invoice of May", true},
    {"a word does not occur", "invoice", "Your receipt", false},
    {"a word with a space", "of may", "Your Invoice of May", true},
    {"a word beyond ASCII, in either case",
     "pr\xc3\xbc"
     "fung",
     "Re: PR\xc3\x9c"
     "FUNG (1)",
     true},
    {"and is no regex", "\xc3\xbc.\\E", "\xc3\x9cx", false},
    {"a glob is the whole text", "your*", "Your Invoice", true},
    {"a glob is not a part", "invoice*", "Your Invoice", false},
    {"anything", "*", "", true},
    {"a regex", "/\\btest\\b/i", "This is a TEST!", true},
    {"a regex knows words", "/\\btest\\b/i", "latest", false},
    {"a regex knows letters beyond ASCII", "/\\btest\\b/", "test\xc3\xa9", false},
    {"a regex and bytes that are no UTF-8", "/order/", "\xff\xfe order \xc3", true},
    {"a regex's end is not before a newline", "/order$/", "order\n", false},
    {"a thousand times, and other braces", "/^a{0,1000}\\x{2800}*\\{5000}$/", "aa{5000}", true},
    {"a dot is one character", "/^b.r$/", "b\xc3\xa4r", true},
};

struct refusal {
	const char *name, *pattern, *wanted;
};

static const struct refusal address_refusals[] = {
    {"nothing", "", "it is empty; write * for anything"},
    {"a bare domain", "example.com", "it has no \"@\"; write \"@example.com\" for a whole domain"},
    {"a bare glob", "qa*", "it has no \"@\"; write \"@qa*\" for a whole domain"},
    {"no domain", "qa@", "there is no domain behind its \"@\"; write \"@*\" for any"},
    {"a bad domain", "@exa mple.com", "\"exa mple.com\" is no domain name"},
    {"only a dot", "@.", "\"\" is no domain name"},
    {"a regex without an end", "/abc",
     "a regular expression is written /expression/ or /expression/i"},
    {"a regex with a strange flag", "/abc/x",
     "a regular expression is written /expression/ or /expression/i"},
    {"an empty regex", "//", "the regular expression is empty; write * for anything"},
    {"a bad regex", "/a(b/",
     "missing closing parenthesis, at character 4 of the regular expression"},
    {"a control character", "qa\n@example.com", "it has a control character in it"},
    {"no UTF-8", "@ex\xff.test", "it is not valid UTF-8"},
    {"a U-label and a wildcard",
     "@*.b\xc3\xbc"
     "cher.example",
     "a domain with wildcards must be ASCII; write its labels as xn--..."},
};

static void
addresses(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(address_rows); i++) {
		const struct row *row = &address_rows[i];
		struct arena arena = {0};
		struct address address;
		char *error = NULL;
		struct pattern *p = pattern_for_address(row->pattern, &error);

		if (p == NULL)
			fail_msg("%s: %s", row->name, error);
		if (address_parse(row->text, &arena, &address) != NULL)
			fail_msg("%s: bad address", row->name);
		if (pattern_match_address(p, &address) != row->wanted)
			fail_msg("%s", row->name);
		pattern_free(p);
		arena_free(&arena);
	}
}

static void
texts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(text_rows); i++) {
		const struct row *row = &text_rows[i];
		char *error = NULL;
		struct pattern *p = pattern_for_text(row->pattern, &error);

		if (p == NULL)
			fail_msg("%s: %s", row->name, error);
		if (pattern_match_text(p, row->text) != row->wanted)
			fail_msg("%s", row->name);
		pattern_free(p);
	}
}

static void
refusals(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(address_refusals); i++) {
		const struct refusal *row = &address_refusals[i];
		char *error = NULL;
		struct pattern *p = pattern_for_address(row->pattern, &error);

		if (p != NULL)
			fail_msg("%s was accepted", row->name);
		assert_string_equal(error, row->wanted);
		free(error);
	}
}

/* The null path and a bare postmaster have no domain: only "*" takes them. */
static void
no_domain(void **state)
{
	static const struct row rows[] = {
	    {"anything", "*", "", true},
	    {"a glob", "*@*", "", false},
	    {"a regex", "/./", "", false},
	};
	struct address null = {.text = TEXT(""), .local = TEXT(""), .domain = TEXT("")};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		char *error = NULL;
		struct pattern *p = pattern_for_address(rows[i].pattern, &error);

		assert_non_null(p);
		if (pattern_match_address(p, &null) != rows[i].wanted)
			fail_msg("%s", rows[i].name);
		pattern_free(p);
	}
}

static void
ranks(void **state)
{
	static const char *const order[] = {"a@example.com", "@example.com", "@.example.com",
					    "*@example.com", "/./",          "*"};
	int last = 1000;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(order); i++) {
		char *error = NULL;
		struct pattern *p = pattern_for_address(order[i], &error);

		assert_non_null(p);
		assert_true(pattern_rank(p) < last);
		last = pattern_rank(p);
		pattern_free(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses), cmocka_unit_test(texts), cmocka_unit_test(refusals),
	    cmocka_unit_test(no_domain), cmocka_unit_test(ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
