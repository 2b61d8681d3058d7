/*
 * Fuzzes tokens_load(): a file is either taken, and then each of its lines is a token with a name,
 * roles and a hash, or refused with lines that a terminal can show.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/tokens.h"
#include "tests/fuzz/fuzz.h"

static void
check_errors(const char *errors, const char *path)
{
	const char *line;

	FUZZ_CHECK(*errors != '\0');
	for (const char *p = errors; *p != '\0'; p++)
		FUZZ_CHECK(*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f));
	for (line = errors; *line != '\0'; line = strchr(line, '\n') + 1)
		FUZZ_CHECK(strncmp(line, path, strlen(path)) == 0);
}

static void
check_name(void *context, const char *name)
{
	size_t *count = context;

	FUZZ_CHECK(token_is_name(name));
	++*count;
}

/* Every line that is no comment is a token. */
static void
check_tokens(const struct tokens *t, const char *data, size_t size)
{
	const char *at = data, *end = data + size, *newline, *name;
	size_t lines = 0, listed = 0;
	unsigned roles;

	for (; at < end; at = newline + 1) {
		newline = memchr(at, '\n', (size_t)(end - at));
		if (newline == NULL)
			newline = end;
		lines += *at != '#' && memchr(at, ':', (size_t)(newline - at)) != NULL;
	}
	tokens_list(t, ROLE_ALL, check_name, &listed);
	FUZZ_CHECK(listed == lines);
	/* Nothing in the file opens anything: it has hashes only. */
	FUZZ_CHECK(!tokens_find(t, "", &name, &roles) ||
		   memmem(data, size, "e3b0c44298fc1c14", 16));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("tokens", MFD_CLOEXEC);
	struct buf errors = {0};
	struct tokens *t;
	char path[64];

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	t = tokens_load(path, &errors);
	if (t != NULL) {
		FUZZ_CHECK(errors.len == 0);
		check_tokens(t, (const char *)data, size);
	} else {
		check_errors(buf_text(&errors), path);
	}
	tokens_free(t);
	buf_free(&errors);
	close(fd);
	return 0;
}
