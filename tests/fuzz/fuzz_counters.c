/*
 * Fuzzes counters_load(). The first eight bytes are what the clock is ahead, the rest a saved key:
 * what is refused leaves nothing behind; what is taken can be counted on, saved, and read again,
 * and then says the same.
 */
#include <string.h>

#include "filters/counters.h"
#include "tests/fuzz/fuzz.h"

enum { HASH = 4711 };

struct copy {
	char data[4096];
	size_t len;
	int count;
};

static void
copy_row(void *context, uint64_t hash, int64_t idle_at, const char *data, size_t len)
{
	struct copy *copy = context;

	(void)idle_at;
	FUZZ_CHECK(hash == HASH && len <= sizeof(copy->data));
	memcpy(copy->data, data, len);
	copy->len = len;
	copy->count++;
}

static struct counters_seen
look(struct counters *c, const struct counters_rule *rule, int64_t mono, enum counters_mode mode)
{
	struct counters_seen seen;

	counters_arrive(c, rule, (struct counters_key){.hash = HASH}, 1, 1, mono, 0, mode, &seen);
	return seen;
}

/* It goes on counting, whatever its times were; and what is saved of it is read again. */
static void
check_loaded(struct counters *c, const struct counters_rule *rule)
{
	struct copy copy = {.count = 0};
	struct counters *again = counters_new();
	struct counters_seen before = look(c, rule, 0, COUNTERS_PEEK);
	struct counters_seen seen = look(c, rule, 0, COUNTERS_COUNT);

	FUZZ_CHECK(seen.hash == HASH && before.hash == HASH);
	FUZZ_CHECK(look(c, rule, 0, COUNTERS_PEEK).before >= 1);
	counters_save(c, 0, 0, copy_row, &copy);
	FUZZ_CHECK(copy.count == 1 && copy.len > 0);
	FUZZ_CHECK(counters_load(again, HASH, copy.data, copy.len, 0));
	FUZZ_CHECK(look(again, rule, 0, COUNTERS_PEEK).before ==
		   look(c, rule, 0, COUNTERS_PEEK).before);
	counters_free(again);
	look(c, rule, INT64_MAX, COUNTERS_COUNT);
	counters_unleave(c, HASH, 1);
	counters_forget(c, HASH);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct counters_rule rules[] = {
	    {.limit = 20, .window = CLOCK_DAY, .holds = true, .cooldown = CLOCK_HOUR},
	    {.limit = 200,
	     .window = CLOCK_DAY,
	     .head = 5,
	     .head_window = 2 * CLOCK_HOUR,
	     .holds = true},
	    {.limit = 300, .window = 30 * CLOCK_DAY, .holds = true, .audience = true}};
	int64_t shift = 0;
	size_t i;

	if (size < sizeof(shift))
		return 0;
	memcpy(&shift, data, sizeof(shift));
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct counters *c = counters_new();

		if (counters_load(c, HASH, (const char *)data + sizeof(shift), size - sizeof(shift),
				  shift))
			check_loaded(c, &rules[i]);
		else
			FUZZ_CHECK(counters_key_count(c) == 0);
		counters_free(c);
	}
	return 0;
}
