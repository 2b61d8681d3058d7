/*
 * A file of NAME:... lines as `mailfuse passwd` and `mailfuse token` change it: one name's line,
 * everything else byte for byte as it was. mailfused reads it by config/users.h and
 * config/tokens.h.
 */
#ifndef CLI_NAME_FILE_H
#define CLI_NAME_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

/* For what is said of it. */
struct name_file_kind {
	const char *verb;   /* "passwd": who else may be changing it */
	const char *option; /* "--users": what names another file */
	const char *what;   /* "users file" */
};

struct name_file {
	const struct name_file_kind *kind;
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
 * be read or changed; name_file_close() all the same.
 */
bool name_file_open(struct name_file *f, const struct name_file_kind *kind, const char *path,
		    struct buf *error);
/* Nothing is written by it. */
void name_file_close(struct name_file *f);
bool name_file_has(const struct name_file *f, const char *name);
/*
 * The name's line becomes NAME:REST, where it stands or at the end; none with rest NULL. A second
 * line of the same name goes: mailfused refuses such a file.
 */
void name_file_set(struct name_file *f, const char *name, const char *rest);
/*
 * Writes a file beside it and puts it in its place, so that there is the old or the new one at
 * every moment: with the owner, group and mode of the old one, else 0640 and the folder's group.
 */
bool name_file_write(const struct name_file *f, struct buf *error);

#endif
