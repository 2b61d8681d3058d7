/*
 * POST /v1/backup: a copy of the store while it works.
 */
#ifndef CONTROL_BACKUP_H
#define CONTROL_BACKUP_H

struct request;

void backup_post(struct request *r);

#endif
