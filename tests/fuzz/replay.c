/*
 * main() of the fuzzers in ordinary builds: runs LLVMFuzzerTestOneInput() once over each file
 * given, or each file of a directory given. Without arguments, as `make check` calls it, fuzz_NAME
 * takes $srcdir/tests/fuzz/corpus/NAME. A finding aborts; a missing or empty corpus fails.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/fuzz/fuzz.h"

static size_t replayed;

static bool
replay_file(const char *path)
{
	struct buf content = {0};
	char piece[4096];
	uint8_t *exact;
	FILE *file = fopen(path, "rb");
	size_t n;
	bool ok;

	if (file == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		buf_add(&content, piece, n);
	ok = ferror(file) == 0;
	fclose(file);
	/* A copy of the exact size, so that the address sanitizer sees one byte too many. */
	exact = mem_alloc(content.len);
	if (content.len > 0)
		memcpy(exact, content.data, content.len);
	LLVMFuzzerTestOneInput(exact, content.len);
	free(exact);
	buf_free(&content);
	replayed++;
	return ok;
}

static bool
replay_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool ok = directory != NULL;

	if (!ok)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	while (ok && (entry = readdir(directory)) != NULL) {
		char *file;

		if (entry->d_name[0] == '.')
			continue;
		file = mem_printf("%s/%s", path, entry->d_name);
		ok = replay_file(file);
		free(file);
	}
	if (directory != NULL)
		closedir(directory);
	return ok;
}

static bool
replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return replay_directory(path);
	return replay_file(path);
}

/* "…/fuzz_address" -> "SRCDIR/tests/fuzz/corpus/address" */
static char *
default_corpus(const char *program)
{
	static const char prefix[] = "fuzz_";
	const char *slash = strrchr(program, '/'), *srcdir = getenv("srcdir");
	const char *name = slash != NULL ? slash + 1 : program;

	if (strncmp(name, prefix, strlen(prefix)) == 0)
		name += strlen(prefix);
	return mem_printf("%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".", name);
}

int
main(int argc, char **argv)
{
	bool ok = true;
	int i;

	if (argc < 2) {
		char *corpus = default_corpus(argv[0]);

		ok = replay(corpus);
		free(corpus);
	}
	for (i = 1; i < argc; i++)
		ok = replay(argv[i]) && ok;
	printf("%zu inputs\n", replayed);
	return ok && replayed > 0 ? 0 : 1;
}
