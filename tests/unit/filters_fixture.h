/*
 * What the tests of filters/ share: configurations as plain data, and messages made by hand. No
 * file is read and no clock is asked.
 */
#ifndef TESTS_FILTERS_FIXTURE_H
#define TESTS_FILTERS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "filters/gate.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* Configurations have no const; nobody writes to them. */
#define TEXT(literal) ((char *)(literal))
#define LIST(...) ((char *[]){__VA_ARGS__, NULL})
#define NOBODY ((char *[]){NULL})
#define SECOND INT64_C(1000000)

/* The environments of a configuration that ends with the built-in `unknown`. */
#define ENVIRONMENTS(...)                                                                          \
	((struct config_environment[]){__VA_ARGS__,                                                \
				       {.name = TEXT("unknown"),                                   \
					.upstream = NULL,                                          \
					.subject_prefix = TEXT(""),                                \
					.allow = NOBODY,                                           \
					.others = CONFIG_OTHERS_HOLD,                              \
					.rewrite_to = TEXT("")}})

static inline struct config
fixture_config(struct config_environment *environments, size_t count)
{
	return (struct config){.path = TEXT(""),
			       .hostname = TEXT("mailfuse.test"),
			       .environments = environments,
			       .environment_count = count,
			       .refs = 1};
}

static inline struct policy *
fixture_policy(struct config *config)
{
	struct buf errors = {0};
	struct policy *p = policy_new(config, &errors);

	if (p == NULL)
		fail_msg("%s", buf_text(&errors));
	assert_int_equal(errors.len, 0);
	buf_free(&errors);
	return p;
}

static inline struct message *
fixture_message(const char *environment, const char *source, const char *subject_key)
{
	struct message *m = message_new();
	struct address sender = {
	    .text = TEXT("shop@example.com"), .local = TEXT("shop"), .domain = TEXT("example.com")};

	m->environment = environment;
	m->source = source;
	m->subject = m->subject_key = subject_key;
	m->campaign = "";
	message_set_sender(m, &sender);
	return m;
}

static inline struct recipient *
fixture_add(struct message *m, const char *text)
{
	struct address address;
	const char *why = address_parse(text, &m->arena, &address);

	if (why != NULL)
		fail_msg("%s %s", text, why);
	return message_add_recipient(m, &address);
}

#endif
