/*
 * Fuzzes users_load(): a file is either taken, and then each of its users is found with a hash that
 * can be checked, or refused with lines that a terminal can show.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/password.h"
#include "config/users.h"
#include "tests/fuzz/fuzz.h"

static void
check_errors(const char *errors, const char *path)
{
	const char *line;

	FUZZ_CHECK(*errors != '\0');
	for (const char *p = errors; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
	for (line = errors; *line != '\0'; line = strchr(line, '\n') + 1) {
		FUZZ_CHECK(strncmp(line, path, strlen(path)) == 0);
	}
}

/* Every line that is no comment is a user of that name with that hash. */
static void
check_users(const struct users *u, const char *data, size_t size)
{
	const char *at = data, *end = data + size, *newline;
	size_t count = 0;

	for (; at < end; at = newline + 1) {
		const char *colon;
		char name[256], hash[512];

		newline = memchr(at, '\n', (size_t)(end - at));
		if (newline == NULL)
			newline = end;
		colon = memchr(at, ':', (size_t)(newline - at));
		if (*at == '#' || colon == NULL)
			continue;
		FUZZ_CHECK((size_t)(colon - at) < sizeof(name));
		FUZZ_CHECK((size_t)(newline - colon) < sizeof(hash));
		snprintf(name, sizeof(name), "%.*s", (int)(colon - at), at);
		snprintf(hash, sizeof(hash), "%.*s", (int)(newline - colon - 1), colon + 1);
		FUZZ_CHECK(password_is_name(name, strlen(name)) && password_is_hash(hash));
		FUZZ_CHECK(users_find(u, name) != NULL);
		FUZZ_CHECK(strcmp(users_find(u, name), hash) == 0);
		count++;
	}
	FUZZ_CHECK(users_count(u) == count);
	FUZZ_CHECK((users_decoy(u, size) == NULL) == (count == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("users", MFD_CLOEXEC);
	struct buf errors = {0};
	struct users *u;
	char path[64];

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	u = users_load(path, &errors);
	if (u != NULL) {
		FUZZ_CHECK(errors.len == 0);
		check_users(u, (const char *)data, size);
	} else {
		check_errors(buf_text(&errors), path);
	}
	users_free(u);
	buf_free(&errors);
	close(fd);
	return 0;
}
