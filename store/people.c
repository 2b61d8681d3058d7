/*
 * See people.h. The hashes of the first STORE_EXACT_MAX different recipients of a batch are kept,
 * and the number is exact. Beyond that only hashes below a limit are kept, which is halved whenever
 * there are too many of them: whoever is new then stands for all of those that are not looked at
 * (distinct sampling, Gibbons 2001), so the number is some 2 % off at most times, whatever the
 * batch has. Addresses that differ in case only are one person.
 */
#include "store/people.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* A positive number of 63 bits, all of them as good as random: the limit looks at the highest. */
static int64_t
hash_of(const char *recipient)
{
	char *lower = mem_strdup(recipient);
	uint64_t hash;

	text_lower(lower);
	hash = text_hash(TEXT_HASH_START, lower, strlen(lower));
	free(lower);
	/* the finalizer of MurmurHash3 */
	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (int64_t)((hash ^ hash >> 33) >> 1);
}

enum store_result
people_enter(struct work *w, struct batch_row *b, const char *recipient)
{
	const int64_t hash = hash_of(recipient);
	uint64_t gone;
	bool is_new;

	if (hash >= INT64_MAX >> b->people_level)
		return STORE_OK;
	TRY(w->b->person_add(w->db, b->b.id, hash, &is_new));
	if (!is_new)
		return STORE_OK;
	b->b.distinct += UINT64_C(1) << b->people_level;
	b->people_kept++;
	while (b->people_kept > STORE_EXACT_MAX) {
		b->people_level++;
		TRY(w->b->person_cut(w->db, b->b.id, INT64_MAX >> b->people_level, &gone));
		b->people_kept -= gone;
	}
	return STORE_OK;
}
