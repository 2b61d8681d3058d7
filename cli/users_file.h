/*
 * The users file as `mailfuse passwd` changes it: one user's line, everything else byte for byte as
 * it was. mailfused reads it by config/users.h.
 */
#ifndef CLI_USERS_FILE_H
#define CLI_USERS_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

struct users_file {
	char *path, *folder; /* the file itself, where `path` was a link to it */
	int lock;            /* the folder, so that one at a time changes a file in it */
	struct buf text;
	bool exists;
	mode_t mode;
	uid_t owner;
	gid_t group;
};

/*
 * Locks and reads; a file that is not there is empty. False and the reason in `error` if it cannot
 * be read or changed; users_file_close() all the same.
 */
bool users_file_open(struct users_file *f, const char *path, struct buf *error);
/* Nothing is written by it. */
void users_file_close(struct users_file *f);
bool users_file_has(const struct users_file *f, const char *name);
/*
 * The user's line becomes NAME:HASH, where it stands or at the end; none with hash NULL. A second
 * line of the same name goes: mailfused refuses such a file.
 */
void users_file_set(struct users_file *f, const char *name, const char *hash);
/*
 * Writes a file beside it and puts it in its place, so that there is the old or the new one at
 * every moment: with the owner, group and mode of the old one, else 0640 and the folder's group.
 */
bool users_file_write(const struct users_file *f, struct buf *error);

#endif
