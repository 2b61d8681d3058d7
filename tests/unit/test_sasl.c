/*
 * sasl.h: base64 to the letter, and which responses name a user and a password.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "mail/sasl.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define BYTES(text) text, sizeof(text) - 1
#define A85 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A255 A85 A85 A85
#define A1024 A255 A255 A255 A255 "aaaa"

/* RFC 4648 10, and what is different from it by one character. */
static const struct code_row {
	const char *text, *bytes;
	size_t len;
} code_rows[] = {
    {"", BYTES("")},
    {"Zg==", BYTES("f")},
    {"Zm8=", BYTES("fo")},
    {"Zm9v", BYTES("foo")},
    {"Zm9vYg==", BYTES("foob")},
    {"Zm9vYmE=", BYTES("fooba")},
    {"Zm9vYmFy", BYTES("foobar")},
    {"AGEAYg==", BYTES("\0a\0b")},
    {"AAAA", BYTES("\0\0\0")},
    {"////", BYTES("\377\377\377")},
    {"++++", BYTES("\373\357\276")},
};

static void
test_code(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(code_rows); i++) {
		const struct code_row *row = &code_rows[i];
		struct buf bytes = {0}, text = {0};

		print_message("  %s\n", row->text);
		buf_add_text(&bytes, "-");
		assert_true(base64_decode(row->text, strlen(row->text), &bytes));
		assert_int_equal(bytes.len, row->len + 1);
		assert_memory_equal(bytes.data + 1, row->bytes, row->len);
		assert_int_equal(bytes.data[bytes.len], '\0');
		base64_encode(row->bytes, row->len, &text);
		assert_string_equal(buf_text(&text), row->text);
		buf_free(&bytes);
		buf_free(&text);
	}
}

static const struct bad_row {
	const char *name, *text;
	size_t len;
} bad_rows[] = {
    {"one character", BYTES("Z")},
    {"no padding", BYTES("Zg")},
    {"half a padding", BYTES("Zg=")},
    {"too much padding", BYTES("Zg===")},
    {"three of padding", BYTES("Z===")},
    {"only padding", BYTES("====")},
    {"an equals sign", BYTES("=")},
    {"padding inside", BYTES("Zg==Zg==")},
    {"padding, then a character", BYTES("Zg=g")},
    {"stray bits", BYTES("Zh==")},
    {"stray bits of two bytes", BYTES("Zm9=")},
    {"a blank", BYTES("Zm9v ")},
    {"a blank inside", BYTES("Zm9 ")},
    {"a line end", BYTES("Zm9vYmFy\r\n")},
    {"a NUL", BYTES("Zm9\0")},
    {"the alphabet for URLs", BYTES("-__-")},
    {"cancel", BYTES("*")},
    {"beyond ASCII", BYTES("Zm9\303")},
    {"a bad group behind good ones", BYTES("Zm9vZm9vZm9!")},
};

static void
test_bad_code(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad_rows); i++) {
		struct buf out = {0};

		print_message("  %s\n", bad_rows[i].name);
		buf_add_text(&out, "kept");
		assert_false(base64_decode(bad_rows[i].text, bad_rows[i].len, &out));
		assert_int_equal(out.len, 4);
		assert_string_equal(out.data, "kept");
		buf_free(&out);
	}
}

static const struct plain_row {
	const char *name, *data;
	size_t len;
	const char *user, *password; /* NULL: refused */
} plain_rows[] = {
    {"no authzid", BYTES("\0anna\0secret"), "anna", "secret"},
    {"its own authzid", BYTES("anna\0anna\0secret"), "anna", "secret"},
    {"another authzid", BYTES("root\0anna\0secret"), NULL, NULL},
    {"an authzid in another case", BYTES("Anna\0anna\0secret"), NULL, NULL},
    {"an authzid that only begins so", BYTES("ann\0anna\0secret"), NULL, NULL},
    {"UTF-8", BYTES("\0j\303\266rg\0p\303\244ss"), "j\303\266rg", "p\303\244ss"},
    {"blanks", BYTES("\0a b\0 c "), "a b", " c "},
    {"controls in the password", BYTES("\0anna\0a\tb\r\n"), "anna", "a\tb\r\n"},
    {"nothing", BYTES(""), NULL, NULL},
    {"one NUL", BYTES("\0"), NULL, NULL},
    {"no password field", BYTES("\0anna"), NULL, NULL},
    {"no NUL", BYTES("anna"), NULL, NULL},
    {"an empty password", BYTES("\0anna\0"), NULL, NULL},
    {"an empty name", BYTES("\0\0secret"), NULL, NULL},
    {"a NUL in the password", BYTES("\0anna\0sec\0ret"), NULL, NULL},
    {"a NUL behind", BYTES("\0anna\0secret\0"), NULL, NULL},
    {"a line end in the name", BYTES("\0anna\r\nBcc: x\0secret"), NULL, NULL},
    {"an escape in the name", BYTES("\0an\033na\0secret"), NULL, NULL},
    {"DEL in the name", BYTES("\0anna\177\0secret"), NULL, NULL},
    {"a C1 control in the name", BYTES("\0anna\302\205\0secret"), NULL, NULL},
    {"an override of direction in the name", BYTES("\0a\342\200\256nna\0secret"), NULL, NULL},
    {"a name that is no UTF-8", BYTES("\0j\366rg\0secret"), NULL, NULL},
    {"a password that is no UTF-8", BYTES("\0anna\0p\344ss"), NULL, NULL},
    {"a password cut inside a character", BYTES("\0anna\0p\303"), NULL, NULL},
    {"the longest", BYTES("\0" A255 "\0" A1024), A255, A1024},
    {"a name too long", BYTES("\0" A255 "a\0secret"), NULL, NULL},
    {"a password too long", BYTES("\0anna\0" A1024 "a"), NULL, NULL},
};

static void
test_plain(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(plain_rows); i++) {
		const struct plain_row *row = &plain_rows[i];
		const char *user = NULL, *password = NULL;
		struct buf data = {0};

		print_message("  %s\n", row->name);
		buf_add(&data, row->data, row->len);
		assert_int_equal(sasl_read_plain(&data, &user, &password), row->user != NULL);
		if (row->user == NULL) {
			assert_null(user);
			assert_null(password);
		} else {
			assert_string_equal(user, row->user);
			assert_string_equal(password, row->password);
		}
		sasl_wipe(&data);
	}
}

static const struct login_row {
	const char *name, *data;
	size_t len, max;
	bool good;
} login_rows[] = {
    {"a name", BYTES("anna"), SASL_NAME_MAX, true},
    {"the longest name", BYTES(A255), SASL_NAME_MAX, true},
    {"a name too long", BYTES(A255 "a"), SASL_NAME_MAX, false},
    {"no name", BYTES(""), SASL_NAME_MAX, false},
    {"a control in a name", BYTES("a\nb"), SASL_NAME_MAX, false},
    {"a NUL in a name", BYTES("a\0b"), SASL_NAME_MAX, false},
    {"a name that is no UTF-8", BYTES("\377"), SASL_NAME_MAX, false},
    {"a password", BYTES("s\tcret"), SASL_PASSWORD_MAX, true},
    {"the longest password", BYTES(A1024), SASL_PASSWORD_MAX, true},
    {"a password too long", BYTES(A1024 "a"), SASL_PASSWORD_MAX, false},
    {"no password", BYTES(""), SASL_PASSWORD_MAX, false},
    {"a NUL in a password", BYTES("a\0"), SASL_PASSWORD_MAX, false},
    {"a password that is no UTF-8", BYTES("\377"), SASL_PASSWORD_MAX, false},
};

static void
test_login(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(login_rows); i++) {
		const struct login_row *row = &login_rows[i];
		const char *text = NULL;
		struct buf data = {0};

		print_message("  %s\n", row->name);
		if (row->len > 0)
			buf_add(&data, row->data, row->len);
		assert_int_equal(sasl_read_login(&data, row->max, &text), row->good);
		if (row->good)
			assert_string_equal(text, row->data);
		else
			assert_null(text);
		sasl_wipe(&data);
	}
}

static void
test_wipe(void **state)
{
	struct buf b = {0};

	(void)state;
	sasl_wipe(&b);
	buf_add_text(&b, "secret");
	sasl_wipe(&b);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.cap, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_code),  cmocka_unit_test(test_bad_code),
	    cmocka_unit_test(test_plain), cmocka_unit_test(test_login),
	    cmocka_unit_test(test_wipe),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
