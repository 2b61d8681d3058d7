/*
 * Copies of a store: made, sealed, verified, read. See backup.h.
 */
#include "store/backup.h"

#include <string.h>

#include "store/store.h"

bool
backup_verify(const char *path, struct backup_report *out, struct buf *error)
{
	memset(out, 0, sizeof(*out));
	buf_printf(error, "%s: not built yet", path);
	return false;
}

struct backup *
backup_open(const char *path, struct backup_report *out, struct buf *error)
{
	(void)backup_verify(path, out, error);
	return NULL;
}

void
backup_close(struct backup *b)
{
	(void)b;
}

bool
backup_batch(struct backup *b, int64_t id,
	     void (*row)(void *context, const struct store_batch *batch), void *context,
	     struct buf *error)
{
	(void)b;
	(void)row;
	(void)context;
	buf_printf(error, "B%lld: not built yet", (long long)id);
	return false;
}

bool
backup_messages(struct backup *b, int64_t batch,
		bool (*row)(void *context, const struct message *m,
			    const struct store_delivery *deliveries, size_t count),
		void *context, struct buf *error)
{
	(void)b;
	(void)row;
	(void)context;
	buf_printf(error, "B%lld: not built yet", (long long)batch);
	return false;
}

void
store_copy_start(struct store *s, struct store_copy *copy)
{
	(void)s;
	copy->result = STORE_REFUSED;
	copy->done(copy);
}
