/*
 * Fuzzes address_parse_path(), address_parse() and address_canonical_domain(): what is accepted
 * fits the limits, is safe on the wire, and reads the same a second time.
 */
#include <string.h>

#include "base/text.h"
#include "mail/address.h"
#include "tests/fuzz/fuzz.h"

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static void
check_printable(const char *text)
{
	FUZZ_CHECK(is_ascii(text) && text_is_clean(text, strlen(text)));
}

/* `plain`: from address_parse(), whose text has no U-labels. */
static void
check_address(const struct address *a, bool plain, struct arena *arena)
{
	const char *at = strrchr(a->text, '@');
	struct address again;

	FUZZ_CHECK(text_is_utf8(a->text, strlen(a->text)));
	FUZZ_CHECK(text_is_clean(a->local, strlen(a->local)));
	FUZZ_CHECK(strpbrk(a->text, "\r\n") == NULL);
	FUZZ_CHECK(a->utf8 == !is_ascii(a->text));
	check_printable(a->domain);
	FUZZ_CHECK(strlen(a->text) <= ADDRESS_PATH_MAX - 2);
	FUZZ_CHECK(strlen(a->domain) <= ADDRESS_DOMAIN_MAX);
	if (*a->domain == '\0') /* a null path or a bare postmaster */
		return;
	FUZZ_CHECK(at != NULL && (!plain || is_ascii(at)));
	FUZZ_CHECK(is_ascii(at) || strstr(a->domain, "xn--") != NULL);
	if (address_parse(a->text, arena, &again) != NULL) {
		FUZZ_CHECK(!plain && !is_ascii(at)); /* its A-labels are too long for a path */
		return;
	}
	FUZZ_CHECK(!is_ascii(at) || strcmp(again.text, a->text) == 0);
	FUZZ_CHECK(strcmp(again.local, a->local) == 0);
	FUZZ_CHECK(strcmp(again.domain, a->domain) == 0);
}

static void
check_path(const char *text, bool allow_null, bool allow_postmaster, struct arena *arena)
{
	const char *at = text, *path, *reason;
	char *wire;
	struct address a, again;

	reason = address_parse_path(&at, allow_null, allow_postmaster, arena, &a);
	if (reason != NULL) {
		check_printable(reason);
		FUZZ_CHECK(a.text == NULL && a.local == NULL && a.domain == NULL);
		return;
	}
	FUZZ_CHECK(at > text && at[-1] == '>');
	check_address(&a, false, arena);
	FUZZ_CHECK(allow_null || *a.text != '\0');
	/* What the client sends on is read by the next hop as the same address. */
	path = wire = arena_printf(arena, "<%s>", a.text);
	FUZZ_CHECK(address_parse_path(&path, allow_null, allow_postmaster, arena, &again) == NULL);
	FUZZ_CHECK(path == wire + strlen(wire) && strcmp(again.text, a.text) == 0);
}

static void
check_domain(const char *text, struct arena *arena)
{
	char *domain = address_canonical_domain(text, arena), *again;

	if (domain == NULL)
		return;
	check_printable(domain);
	FUZZ_CHECK(*domain != '\0' && strlen(domain) <= ADDRESS_DOMAIN_MAX);
	FUZZ_CHECK(domain[strlen(domain) - 1] != '.');
	again = address_canonical_domain(domain, arena);
	FUZZ_CHECK(again != NULL && strcmp(domain, again) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	char *text = arena_strndup(&arena, (const char *)data, size);
	struct address a;

	check_path(text, true, false, &arena);
	check_path(text, false, true, &arena);
	if (address_parse(text, &arena, &a) == NULL)
		check_address(&a, true, &arena);
	else
		FUZZ_CHECK(a.text == NULL && a.local == NULL && a.domain == NULL);
	check_domain(text, &arena);
	arena_free(&arena);
	return 0;
}
