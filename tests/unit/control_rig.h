/*
 * What the tests of control/ stand on: a gate over the store's memory twin with its control socket,
 * whose loop runs on a thread of its own, and a plain blocking client.
 */
#ifndef TESTS_UNIT_CONTROL_RIG_H
#define TESTS_UNIT_CONTROL_RIG_H

#include <pthread.h>

#include "base/id.h"
#include "control/control.h"

struct gate {
	char directory[64], path[128], config_path[128];
	struct loop *loop;
	struct store *store;
	struct store_view *view;
	struct counters *counters;
	struct policy *policy;
	struct control *control;
	char message[ID_TEXT_BYTES]; /* of B1, the first */
	_Atomic int queue_pokes, alert_pokes;
	_Atomic int held;         /* how often the relay was told of a hold */
	_Atomic int paused_batch; /* the last that the relay was told of; 0 = none */
};

extern struct gate gate;

/* What gate_start() serves over TCP too; fd -1 = nothing. Set before. */
struct gate_http {
	const struct tokens *tokens;
	int fd;
};
extern struct gate_http gate_http;

/* B1: 8 recipients in two messages of staging; B2: box, captured; B3: unknown; B4: an environment
 * that the configuration does not have. */
void gate_start(void);
/* The same with more settings at the end of its configuration. */
void gate_start_with(const char *settings);
/* And with a drill of staging under way. */
void gate_start_drill(const char *settings);
void gate_stop(void);
struct control_deps gate_deps(void);
/* One more message, held: of an environment that has a batch already it joins that. */
void gate_add_held(const char *environment, unsigned recipients);
/* One more delivery, to be sent. */
void gate_add_queued(const char *environment, const char *source);

int client_connect(void);
void client_send(int fd, const char *data, size_t len);
/* To the end. The status, 0 where none came; what follows the header in `body`. */
int client_read(int fd, struct buf *body);
int client_call(const char *method, const char *path, const char *text, size_t len,
		struct buf *body);

/* @M in path, body and wanted stands for the first message of B1. */
struct row {
	const char *name, *method, *path, *body;
	int status;
	const char *wanted;   /* in the answer; NULL = anything */
	const char *unwanted; /* not in it */
};

/* Also: every answer is JSON, and every error a problem that says what to do. */
void check_row(const struct row *row);
/* Until the writer has done what was submitted so far. */
void gate_wait_writer(void);
void check_rows(const struct row *rows, size_t count);
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

#endif
