/*
 * The failing store of the tests: see store_faults.h.
 */
#include "tests/unit/store_faults.h"

#include "base/mem.h"

struct store_faults faults;
static struct backend faulty;

static enum store_result
faulty_message_add(struct db *db, const struct message *m, int64_t environment, bool begun,
		   bool pack)
{
	if (m->id == faults.bad_id)
		return faults.add;
	return backend_sqlite.message_add(db, m, environment, begun, pack);
}

static enum store_result
faulty_commit(struct db *db)
{
	faults.commits++;
	if (faults.bad_sync) {
		db->lost = true;
		return STORE_BROKEN;
	}
	if (faults.commits_to_fail > 0) {
		faults.commits_to_fail--;
		return faults.commit;
	}
	return backend_sqlite.commit(db);
}

static void
faulty_shrink(struct db *db)
{
	faults.shrinks++;
	backend_sqlite.shrink(db);
}

static enum store_result
faulty_begin(struct db *db, bool write)
{
	if (write && faults.begin != STORE_OK)
		return faults.begin;
	return backend_sqlite.begin(db, write);
}

int
setup_faulty(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	faults = (struct store_faults){.commit = STORE_BROKEN};
	faulty = backend_sqlite;
	faulty.message_add = faulty_message_add;
	faulty.commit = faulty_commit;
	faulty.begin = faulty_begin;
	faulty.shrink = faulty_shrink;
	fixture_open(f, &faulty);
	*state = f;
	return 0;
}
