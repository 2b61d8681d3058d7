/*
 * Password hashes: those that another scrypt made (Python's hashlib, RFC 7914) are checked as it
 * checks them, and what a file may ask for is bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/password.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SALT "c2l4dGVlbiBieXRlIHNhbA"
#define KEY "Bv2SJHBl4qs1L3dd2RrdPDTxb1L931Fp1q7yoqz8t+w"
#define HORSE "$scrypt$ln=10,r=8,p=1$" SALT "$" KEY

/* 1024 times x. */
static char long_password[1025];

/* By hashlib.scrypt(); the third is the last but one vector of RFC 7914 section 12. */
static void
test_others(void **state)
{
	static const struct {
		const char *name, *password, *hash;
	} rows[] = {
	    {"usual", "correct horse", HORSE},
	    {"UTF-8, least salt and hash, p", "p\303\244ssw\303\266rd",
	     "$scrypt$ln=11,r=1,p=4$AAECAwQFBgc$efkQZxXMOslKdIj2voYYvQ"},
	    {"RFC 7914", "pleaseletmein",
	     "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdof"
	     "LVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"},
	    {"long, most salt, r", long_password,
	     "$scrypt$ln=10,r=16,p=2$//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eDf3t3c29rZ2NfW1dTT0t"
	     "HQz87NzMvKycjHxsXEw8LBwA$Li1r37xff9VOJRGOz6X/OkfrwyMMjxjsFfAC9D632g6dnfiVQqM1g5OhWI/"
	     "cCD4cC1J/Er7pSaYL4bAnvIp/"},
	    {"empty password", "",
	     "$scrypt$ln=10,r=8,p=1$" SALT "$GyBVgIFFLpDWeiYGeEkglesQBnpw4urLr"
	     "LIoOxnpsII"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		if (!password_is_hash(rows[i].hash))
			fail_msg("%s: is no hash", rows[i].name);
		if (!password_verify(rows[i].hash, rows[i].password))
			fail_msg("%s: the right password is wrong", rows[i].name);
		if (password_verify(rows[i].hash, "something else"))
			fail_msg("%s: a wrong password is right", rows[i].name);
	}
	assert_false(password_verify(HORSE, "correct hors"));
	assert_false(password_verify(HORSE, "correct horse "));
	assert_false(password_verify(HORSE, "Correct horse"));
}

static void
test_forms(void **state)
{
	static const struct {
		const char *hash;
		bool good;
	} rows[] = {
	    {HORSE, true},
	    {"$scrypt$ln=18,r=16,p=4$" SALT "$" KEY, true},
	    {"", false},
	    {"$", false},
	    {"x" HORSE, false},
	    {HORSE "\n", false},
	    {HORSE "$", false},
	    {HORSE "=", false},
	    {" " HORSE, false},
	    {"$7$C6..../....$" KEY, false},
	    {"$6$salt$" KEY, false},
	    {"$scrypt$", false},
	    {"$scrypt$ln=15,r=8,p=1", false},
	    {"$scrypt$ln=15,r=8,p=1$", false},
	    {"$scrypt$ln=15,r=8,p=1$" SALT, false},
	    {"$scrypt$ln=15,r=8,p=1$" SALT "$", false},
	    {"$scrypt$ln=15,r=8,p=1$$" KEY, false},
	    /* costs out of bounds, or not as they are written */
	    {"$scrypt$ln=9,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=19,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=15,r=0,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=15,r=17,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=0$" SALT "$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=5$" SALT "$" KEY, false},
	    {"$scrypt$ln=4294967311,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=015,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=+15,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln= 15,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=-1,r=8,p=1$" SALT "$" KEY, false},
	    {"$scrypt$r=8,ln=15,p=1$" SALT "$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1,$" SALT "$" KEY, false},
	    /* base64 */
	    {"$scrypt$ln=15,r=8,p=1$AAECAwQFBg$" KEY, false},               /* 7 bytes */
	    {"$scrypt$ln=15,r=8,p=1$" SALT "$efkQZxXMOslKdIj2voYY", false}, /* 15 bytes */
	    {"$scrypt$ln=15,r=8,p=1$" KEY KEY "0$" KEY, false},             /* 65 bytes */
	    {"$scrypt$ln=15,r=8,p=1$" KEY KEY KEY KEY "$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$" SALT "==$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$" SALT "A$" KEY, true},               /* 17 bytes */
	    {"$scrypt$ln=15,r=8,p=1$" SALT "AAA$" KEY, false},            /* 4n + 1 characters */
	    {"$scrypt$ln=15,r=8,p=1$c2l4dGVlbiBieXRlIHNhbB$" KEY, false}, /* bits behind the end */
	    {"$scrypt$ln=15,r=8,p=1$c2l4dGVlbiBieXRlIHNhb.$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$c2l4dGVl biBieXRlIHNhbA$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$c2l4dGVl=iBieXRlIHNhbA$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$ c2l4dGVliBieXRlIHNhbA$" KEY, false},
	    {"$scrypt$ln=15,r=8,p=1$\303\244\303\244\303\244\303\244\303\244\303\244$" KEY, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		if (password_is_hash(rows[i].hash) != rows[i].good)
			fail_msg("row %zu: %s", i, rows[i].hash);
		if (!rows[i].good && password_verify(rows[i].hash, "correct horse"))
			fail_msg("row %zu is verified: %s", i, rows[i].hash);
	}
}

/* The most memory that a hash may ask for can be had, and no more is asked for. */
static void
test_dearest(void **state)
{
	(void)state;
	assert_true(password_verify("$scrypt$ln=18,r=16,p=1$" SALT
				    "$yz4+xqPUB+IQJc82H8nUeoZHhFnhD+BVBAYoE8B8FqU",
				    "correct horse"));
}

static void
test_new(void **state)
{
	char *one = password_hash("correct horse"), *two = password_hash("correct horse");

	(void)state;
	assert_non_null(one);
	assert_non_null(two);
	assert_int_equal(strncmp(one, "$scrypt$ln=15,r=8,p=1$", 22), 0);
	assert_int_equal(strlen(one), 22 + 22 + 1 + 43);
	assert_string_not_equal(one, two); /* the salt */
	assert_true(password_is_hash(one));
	assert_true(password_verify(one, "correct horse"));
	assert_false(password_verify(one, "correct hors"));
	free(one);
	free(two);
	assert_false(password_verify(NULL, "correct horse"));
	assert_false(password_verify(NULL, ""));
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
	    {"a", true},
	    {"shop-7", true},
	    {"app@example.com", true},
	    {"two words", true},
	    {"a#b", true},
	    {"$x", true},
	    {"J\303\274rgen", true},
	    {"", false},
	    {"#shop", false},
	    {"a:b", false},
	    {":", false},
	    {" a", false},
	    {"a ", false},
	    {"a\tb", false},
	    {"a\nb", false},
	    {"a\r", false},
	    {"a\033[2Jb", false},
	    {"a\177b", false},
	    {"J\374rgen", false},
	    {"a\302\205b", false},     /* U+0085 */
	    {"a\342\200\256b", false}, /* U+202E */
	};
	char name[257];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		if (password_is_name(rows[i].name, strlen(rows[i].name)) != rows[i].good)
			fail_msg("row %zu", i);
	memset(name, 'n', sizeof(name));
	assert_true(password_is_name(name, 255));
	assert_false(password_is_name(name, 256));
	assert_false(password_is_name("a\0b", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_others),  cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_dearest), cmocka_unit_test(test_new),
	    cmocka_unit_test(test_names),
	};

	memset(long_password, 'x', sizeof(long_password) - 1);
	return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
