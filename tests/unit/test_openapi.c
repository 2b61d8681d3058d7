/*
 * docs/openapi.json, as it is built into the daemon, against the table of routes: each knows what
 * the other has, and which role a call takes. What it says of answers is held against a running
 * gate by tests/integration/test_openapi.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "control/api.h"
#include "control/openapi.h"

static json_t *
read_paths(json_t **document)
{
	json_error_t error;
	json_t *paths;

	*document = json_loadb((const char *)openapi_text, openapi_text_len, JSON_REJECT_DUPLICATES,
			       &error);
	if (*document == NULL)
		fail_msg("docs/openapi.json, line %d: %s", error.line, error.text);
	assert_string_equal(json_string_value(json_object_get(*document, "openapi")), "3.1.0");
	paths = json_object_get(*document, "paths");
	assert_true(json_object_size(paths) > 0);
	return paths;
}

/* "/v1/batches/{batch}" as the table has it: "/v1/batches/" and a star. For free(). */
static char *
make_pattern(const char *path)
{
	char *pattern = mem_strdup(path), *to = pattern;

	for (; *path != '\0'; path++) {
		*to++ = *path == '{' ? '*' : *path;
		if (*path == '{')
			path += strcspn(path, "}");
	}
	*to = '\0';
	return pattern;
}

/* The operation of a route; NULL if it is not described. */
static const json_t *
find_operation(json_t *paths, const struct api_route *route)
{
	const json_t *found = NULL;
	const char *path;
	json_t *item;

	json_object_foreach(paths, path, item)
	{
		char *pattern = make_pattern(path);

		if (strcmp(pattern, route->path) == 0)
			found = json_object_get(item, route->method);
		free(pattern);
		if (found != NULL)
			break;
	}
	return found;
}

static void
test_routes_are_described(void **state)
{
	json_t *document, *paths = read_paths(&document);
	struct api_route route;
	size_t i;

	(void)state;
	for (i = 0; api_route(i, &route); i++) {
		const json_t *operation = find_operation(paths, &route);
		const char *role = json_string_value(json_object_get(operation, "x-role"));
		char wanted[ROLE_TEXT_BYTES] = "";

		if (operation == NULL)
			fail_msg("docs/openapi.json does not describe %s %s", route.method,
				 route.path);
		if (route.role != 0)
			role_format(route.role, wanted);
		if (strcmp(role != NULL ? role : "", wanted) != 0)
			fail_msg("docs/openapi.json: %s %s takes the role %s, not %s", route.method,
				 route.path, wanted, role != NULL ? role : "(none)");
	}
	assert_true(i > 0);
	json_decref(document);
}

static bool
is_route(const char *method, const char *pattern)
{
	struct api_route route;

	for (size_t i = 0; api_route(i, &route); i++)
		if (strcmp(route.method, method) == 0 && strcmp(route.path, pattern) == 0)
			return true;
	return false;
}

static void
test_described_are_routes(void **state)
{
	json_t *document, *paths = read_paths(&document), *item, *operation;
	const char *path, *method;

	(void)state;
	json_object_foreach(paths, path, item)
	{
		char *pattern = make_pattern(path);

		json_object_foreach(item, method, operation)
		{
			if (!is_route(method, pattern))
				fail_msg("docs/openapi.json describes %s %s, which api.c does not "
					 "route",
					 method, path);
		}
		free(pattern);
	}
	json_decref(document);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_routes_are_described),
	    cmocka_unit_test(test_described_are_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
