/*
 * A configuration shown as people would write it: each kind of value, what the file left open, and
 * never a secret.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/show.h"
#include "mail/mime.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char file[] =
    "hostname = \"gate.example\"\nmin_free_space = 1536KB\nkeep_sent = 90m\n"
    "remind_after = {30m, 4h}\nloops = 3\n"
    "listener \"apps\" { address = \"[::1]:2525\" }\n"
    "upstream \"smart\" { address = \"mx.example:25\" tls = required user = \"u\" "
    "password = \"rosebud\" }\n"
    "environment \"staging\" { match { network = {\"10.0.0.0/8\", \"::1\"} } upstream = none\n"
    "  burst \"b\" { limit = \"5/90s\" per = {source, subject} action = alert cooldown = 0 }\n"
    "  content \"two words\" { part = body match = \"x\" } }\n"
    "alert \"a\" { type = slack url = \"https://hooks.example/rosebud\" events = {\"batch.*\"} }\n"
    "approval { above = 5000000 }\n";

static const struct {
	const char *within, *section, *title, *name, *value;
} wanted[] = {
    {"", "", "", "hostname", "gate.example"},
    {"", "", "", "min_free_space", "1536KB"},
    {"", "", "", "keep_sent", "90m"},
    {"", "", "", "keep_dropped", "7d"},
    {"", "", "", "remind_after", "30m, 4h"},
    {"", "", "", "loops", "3"},
    {"", "", "", "log", "stderr"},
    {"", "", "", "quarantine_limit", "20GB"},
    {"", "listener", "apps", "address", "[::1]:2525"},
    {"", "listener", "apps", "max_client_errors", "200/1m"},
    {"", "listener", "apps", "certificate", ""},
    {"", "upstream", "smart", "address", "mx.example:25"},
    {"", "upstream", "smart", "tls", "required"},
    {"", "upstream", "smart", "password", "(set)"},
    {"", "environment", "staging", "upstream", "none"},
    {"", "environment", "staging", "production", "false"},
    {"", "environment", "unknown", "upstream", "smart"},
    {"staging", "match", "", "network", "10.0.0.0/8, ::1"},
    {"staging", "match", "", "user", ""},
    {"staging", "burst", "b", "limit", "5/90s"},
    {"staging", "burst", "b", "per", "source, subject"},
    {"staging", "burst", "b", "action", "alert"},
    {"staging", "burst", "b", "cooldown", "0"},
    {"staging", "burst", "b", "head", ""},
    {"staging", "content", "two words", "part", "body"},
    {"", "alert", "a", "type", "slack"},
    {"", "alert", "a", "url", "(set)"},
    {"", "alert", "a", "events", "batch.*"},
    {"", "approval", "", "above", "5000000"},
};

struct shown {
	struct buf text;
	size_t count, most;
};

static bool
add_row(void *context, const struct config_shown *s)
{
	struct shown *shown = context;

	buf_printf(&shown->text, "\n%s|%s|%s|%s=%s\n", s->within, s->row->section, s->title,
		   s->row->name, s->value);
	return ++shown->count != shown->most;
}

static struct config *
load(const char *text)
{
	char path[] = "/tmp/mailfuse-show-XXXXXX";
	int fd = mkstemp(path);
	struct buf errors = {0};
	struct config *c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	c = config_load(path, &errors);
	unlink(path);
	if (c == NULL)
		fail_msg("%s", buf_text(&errors));
	buf_free(&errors);
	return c;
}

static void
test_values(void **state)
{
	struct config *c = load(file);
	struct shown shown = {.most = 0};

	(void)state;
	config_show(c, add_row, &shown);
	for (size_t i = 0; i < COUNT(wanted); i++) {
		char row[200];

		snprintf(row, sizeof(row), "\n%s|%s|%s|%s=%s\n", wanted[i].within,
			 wanted[i].section, wanted[i].title, wanted[i].name, wanted[i].value);
		print_message("  %s.%s\n", wanted[i].section, wanted[i].name);
		if (strstr(buf_text(&shown.text), row) == NULL)
			fail_msg("not there: %s", row);
	}
	assert_null(strstr(buf_text(&shown.text), "rosebud"));
	assert_null(strstr(buf_text(&shown.text), "|http|")); /* the file has none */
	buf_free(&shown.text);
	config_unref(c);
}

static void
test_ends_early(void **state)
{
	struct config *c = load(file);
	struct shown shown = {.most = 7};

	(void)state;
	config_show(c, add_row, &shown);
	assert_int_equal(shown.count, 7);
	buf_free(&shown.text);
	config_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
					   cmocka_unit_test(test_ends_early)};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
