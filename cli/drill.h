/*
 * mailfuse drill: a synthetic blast through the real listener, to see that the fuse blows.
 */
#ifndef CLI_DRILL_H
#define CLI_DRILL_H

struct command;

int drill_run(struct command *c);

#endif
