/*
 * Two ends for the tests of TLS: `server` is always a connection of ours; the other end is one too
 * (`client`), or a thread with a socket, and OpenSSL on it or not (`peer`). One loop, which runs on
 * the test's thread.
 */
#ifndef TESTS_UNIT_TLS_RIG_H
#define TESTS_UNIT_TLS_RIG_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/conn.h"
#include "tests/unit/tls_certificate.h"

/* Where an end ends itself. */
enum rig_place { NOWHERE, CONNECTED, SECURED, INPUT, DRAINED, CLOSED };

struct end {
	struct conn *conn;
	/* What it shall do. */
	struct tls *tls;  /* starts TLS at once, or with `word` when this line has come */
	const char *host; /* of the client */
	int64_t limit;    /* of the handshake */
	int64_t read_limit, write_limit;
	const char *word;
	const char *answer; /* what it writes in clear when the word came, before TLS */
	const char *first;  /* what it writes when secured */
	enum rig_place free_in;
	bool finish_at_end;                                           /* with "bye" */
	bool pause_at_once;                                           /* before TLS starts */
	size_t (*input)(struct end *e, const char *data, size_t len); /* else all goes to `got` */
	void (*drained)(struct end *e);
	void (*when_secured)(struct end *e);
	/* What came of it. */
	struct buf got;
	size_t longest; /* input() at once */
	int connected, secured, drains, closed;
	bool was_freed;         /* by free_in */
	bool was_secured_early; /* conn_security() before secured() */
	enum conn_end how;
	char why[160];
	char version[16], peer_name[300];
};

extern struct loop *loop;
extern struct end server, client;
extern uint16_t port;

/* Certificates for all tests: rig_make_all() is the group's setup. `mx_file` is mx's, of `ca`. */
extern struct certificate *ca, *other_ca, *mx;
extern const char *ca_file, *other_ca_file, *mx_file;
int rig_make_all(void **state);
int rig_remove_all(void **state);

/* A loop, and a listener for `server`, which takes one connection. */
void rig_start(void);
/* And TLS at once on both sides; the client takes any certificate. */
void rig_start_tls(void);
/* Frees what is left, also the `tls` of both. */
void rig_stop(void);
struct tls *rig_tls_server(const char *certificate, const char *client_ca);
struct tls *rig_tls_client(const char *trusted, bool verify);
void rig_connect(void);
/* Runs the loop until it is so; a test that hangs fails. */
void rig_run_until(bool (*is_so)(void));
/* To be asked after every event; the callbacks of the ends do. */
void rig_look(void);
/* Some turns of the loop in which nothing shall happen. */
void rig_turns(void);
bool rig_both_closed(void);
bool rig_both_secured(void);
bool rig_client_closed(void);
bool rig_server_closed(void);
bool rig_server_is_there(void);
bool rig_server_heard(void);

/* More than the kernel takes for one connection, written without a copy; then counts. */
enum { RIG_LARGE = 24 << 20 };
extern int released;
void rig_release(void *memory);
void rig_write_large(struct conn *c);
/* An end's input(): as much for an answer, and that was all. */
size_t rig_answer_and_finish(struct end *e, const char *data, size_t len);

/* A thread at the other end. */
struct peer {
	pthread_t thread;
	int fd;
	SSL *ssl;
	SSL_CTX *context;
	void (*run)(struct peer *p);
	bool listens, is_done, is_joined;
	sem_t go_on; /* what it may wait for; posted by the test */
	int result;
	struct buf got;
};
extern struct peer peer;
/* Connects to `server`, on the calling thread; then runs `run` on its own, and tells the loop. */
void rig_peer_start(void (*run)(struct peer *p));
/* In place of `server`: takes the next rig_connect(), then runs `run`. */
void rig_peer_listen(void (*run)(struct peer *p));
bool rig_peer_done(void);
/* Waits for it, where the loop does not run any more. */
void rig_peer_join(void);
/* For `run`: a TLS client of OpenSSL's own. True if the handshake went well. */
bool rig_peer_shake(struct peer *p);
/* A peer that says "go", then reads to the end; one that neither reads nor ends before it may. */
void rig_peer_reads(struct peer *p);
void rig_peer_is_deaf(struct peer *p);
void rig_let_peer_go(void);
/* Reads to the end into `got`; the code of SSL_get_error(). */
int rig_peer_read_all(struct peer *p);

#endif
