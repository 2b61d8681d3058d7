/*
 * base/template.h: what is refused names what is wrong; what is not comes out with every letter
 * filled in once, and what is filled in is not read again. The first line of the input is the
 * template, the rest what `%t` stands for.
 */
#include <string.h>

#include "base/mem.h"
#include "base/template.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *all = mem_zalloc(size + 1), *value;
	char bad[TEMPLATE_BAD_BYTES];
	struct buf out = {0};

	memcpy(all, data, size);
	value = strchr(all, '\n');
	if (value != NULL)
		*value++ = '\0';
	const struct template_value values[] = {{'t', value != NULL ? value : ""}, {0, NULL}};
	bool ok = template_check(all, "t", bad);

	FUZZ_CHECK(ok == (bad[0] == '\0') && strlen(bad) < sizeof(bad));
	FUZZ_CHECK(ok || bad[0] == '%');
	template_fill(all, values, &out);
	if (ok) {
		size_t wanted = strlen(all);

		for (const char *p = strchr(all, '%'); p != NULL; p = strchr(p + 2, '%'))
			wanted = wanted - 2 + (p[1] == '%' ? 1 : strlen(values[0].text));
		FUZZ_CHECK(out.len == wanted);
	}
	buf_free(&out);
	free(all);
	return 0;
}
