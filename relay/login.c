/*
 * Logins checked by one thread for all loops. A check is one password that scrypt has to compute;
 * the logins that wait for it are of any loop. The desk's list of checks, and each check's list of
 * logins, are below the desk's lock; what a login calls, and whether it was forgotten, is its
 * loop's. A login is freed on its loop when its answer arrives, which it always does; a check by
 * the desk's thread when it has answered.
 */
#include "relay/login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/password.h"
#include "base/text.h"
#include "net/loop.h"
#include "relay/peers.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

enum { CHECKS_MAX = 64, CLIENT_CHECKS_MAX = 4, CHECK_LOGINS_MAX = 4096, CACHE_MAX = 4096 };

enum { KEY_BYTES = 32, DIGEST_BYTES = 32 };

#define CACHE_TIME (10 * CLOCK_MINUTE)

struct check {
	struct loop_post post; /* to the desk's loop */
	TAILQ_ENTRY(check) next;
	struct login_desk *desk;
	unsigned char digest[DIGEST_BYTES];
	char client[PEERS_NAME_BYTES]; /* who asked first */
	struct keyring *keys;          /* holds `hash` */
	const char *hash;
	bool known; /* false: the hash is a decoy */
	char *password;
	LIST_HEAD(, login) logins;
	size_t login_count;
};

struct login {
	struct loop_post post; /* to its loop, with the answer */
	LIST_ENTRY(login) next;
	struct loop *loop;
	struct login_cache *cache;
	unsigned char digest[DIGEST_BYTES];
	enum login_result result;
	void (*done)(void *context, enum login_result result);
	void *context;
	_Atomic bool forgotten; /* written on its loop */
};

struct login_desk {
	struct loop *loop;
	unsigned char key[KEY_BYTES];
	pthread_mutex_t lock;
	TAILQ_HEAD(check_list, check) checks; /* not answered yet */
	size_t check_count;
	_Atomic bool closing;
};

struct memory {
	UT_hash_handle hh; /* in the order in which they were added */
	unsigned char digest[DIGEST_BYTES];
	int64_t until; /* monotonic */
};

struct login_cache {
	struct memory *table;
};

/* ---- what a loop remembers ---- */

struct login_cache *
login_cache_new(void)
{
	return mem_zalloc(sizeof(struct login_cache));
}

static void
forget_memory(struct login_cache *cache, struct memory *m)
{
	HASH_DEL(cache->table, m);
	free(m);
}

void
login_cache_free(struct login_cache *cache)
{
	if (cache == NULL)
		return;
	while (cache->table != NULL)
		forget_memory(cache, cache->table);
	free(cache);
}

/* The oldest is the table's first. */
static void
forget_old(struct login_cache *cache, int64_t now)
{
	while (cache->table != NULL && cache->table->until <= now)
		forget_memory(cache, cache->table);
}

static bool
is_remembered(struct login_cache *cache, const unsigned char *digest)
{
	struct memory *m;

	forget_old(cache, clock_mono());
	HASH_FIND(hh, cache->table, digest, DIGEST_BYTES, m);
	return m != NULL;
}

static void
remember(struct login_cache *cache, const unsigned char *digest)
{
	struct memory *m;

	if (is_remembered(cache, digest))
		return;
	if (HASH_COUNT(cache->table) >= CACHE_MAX)
		forget_memory(cache, cache->table);
	m = mem_zalloc(sizeof(*m));
	memcpy(m->digest, digest, DIGEST_BYTES);
	m->until = clock_mono() + CACHE_TIME;
	HASH_ADD(hh, cache->table, digest, DIGEST_BYTES, m);
}

/* ---- the desk's thread ---- */

static void
free_check(struct check *c)
{
	OPENSSL_cleanse(c->password, strlen(c->password));
	free(c->password);
	keyring_unref(c->keys);
	free(c);
}

/* Under the lock. */
static bool
is_wanted(const struct check *c)
{
	const struct login *l;

	LIST_FOREACH (l, &c->logins, next)
		if (!atomic_load(&l->forgotten))
			return true;
	return false;
}

/* Its place is free for the next; and nobody joins it any more. Under the lock. */
static void
close_check(struct check *c)
{
	TAILQ_REMOVE(&c->desk->checks, c, next);
	c->desk->check_count--;
}

static void
answer_check(struct check *c, enum login_result result)
{
	struct login *l;

	while ((l = LIST_FIRST(&c->logins)) != NULL) {
		LIST_REMOVE(l, next);
		l->result = result;
		loop_post(l->loop, &l->post);
	}
	free_check(c);
}

static void
run_check(struct loop_post *post)
{
	struct check *c = (struct check *)post;
	struct login_desk *desk = c->desk;
	enum login_result result = LOGIN_BUSY;
	bool compute;

	pthread_mutex_lock(&desk->lock);
	compute = !atomic_load(&desk->closing) && is_wanted(c);
	if (!compute)
		close_check(c);
	pthread_mutex_unlock(&desk->lock);
	if (compute) {
		result =
		    password_verify(c->hash, c->password) && c->known ? LOGIN_RIGHT : LOGIN_WRONG;
		pthread_mutex_lock(&desk->lock);
		close_check(c);
		pthread_mutex_unlock(&desk->lock);
	}
	answer_check(c, result);
}

struct login_desk *
login_desk_new(void)
{
	struct login_desk *desk = mem_zalloc(sizeof(*desk));

	if (RAND_bytes(desk->key, KEY_BYTES) != 1)
		fatal("the system has no random numbers");
	pthread_mutex_init(&desk->lock, NULL);
	TAILQ_INIT(&desk->checks);
	desk->loop = loop_new("login");
	loop_start(desk->loop);
	return desk;
}

void
login_desk_free(struct login_desk *desk)
{
	if (desk == NULL)
		return;
	atomic_store(&desk->closing, true);
	loop_stop(desk->loop);
	loop_free(desk->loop);
	pthread_mutex_destroy(&desk->lock);
	OPENSSL_cleanse(desk->key, KEY_BYTES);
	free(desk);
}

/* ---- the loops ---- */

static void
login_answered(struct loop_post *post)
{
	struct login *l = (struct login *)post;

	if (!atomic_load(&l->forgotten)) {
		if (l->result == LOGIN_RIGHT)
			remember(l->cache, l->digest);
		l->done(l->context, l->result);
	}
	free(l);
}

/* Each text with its length, so that no two logins are one. */
static unsigned char *
put_text(unsigned char *at, const char *text)
{
	uint64_t len = strlen(text);

	memcpy(at, &len, sizeof(len));
	memcpy(at + sizeof(len), text, len);
	return at + sizeof(len) + len;
}

static void
make_digest(const struct login_desk *desk, const char *name, const char *password, const char *hash,
	    unsigned char out[DIGEST_BYTES])
{
	size_t len = 3 * sizeof(uint64_t) + strlen(name) + strlen(password) + strlen(hash), out_len;
	unsigned char *text = mem_alloc(len), *at = text;

	at = put_text(at, name);
	at = put_text(at, password);
	put_text(at, hash);
	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, desk->key, KEY_BYTES, text, len, out,
		      DIGEST_BYTES, &out_len) == NULL ||
	    out_len != DIGEST_BYTES)
		fatal("OpenSSL cannot compute HMAC-SHA256");
	OPENSSL_cleanse(text, len);
	free(text);
}

/* The hash to check against; a user who is not there gets the same decoy each time. */
static const char *
find_hash(const struct login_desk *desk, const struct users *users, const char *name, bool *known)
{
	const char *hash = users == NULL ? NULL : users_find(users, name);
	uint64_t secret;

	*known = hash != NULL;
	if (hash != NULL || users == NULL)
		return hash;
	memcpy(&secret, desk->key, sizeof(secret));
	return users_decoy(users, text_hash(secret, name, strlen(name)));
}

/* The check that computes the same already, or a new one in *fresh; NULL if there is no place.
 * Under the lock. */
static struct check *
find_check(struct login_desk *desk, const unsigned char *digest, const char *client,
	   struct check **fresh)
{
	char name[PEERS_NAME_BYTES];
	struct check *c;
	size_t of_client = 0;

	peers_name(client, name);
	TAILQ_FOREACH (c, &desk->checks, next) {
		if (memcmp(c->digest, digest, DIGEST_BYTES) == 0)
			return c->login_count < CHECK_LOGINS_MAX ? c : NULL;
		of_client += strcmp(c->client, name) == 0;
	}
	if (desk->check_count >= CHECKS_MAX || of_client >= CLIENT_CHECKS_MAX)
		return NULL;
	c = *fresh = mem_zalloc(sizeof(*c));
	c->post.run = run_check;
	c->desk = desk;
	memcpy(c->digest, digest, DIGEST_BYTES);
	memcpy(c->client, name, sizeof(name));
	LIST_INIT(&c->logins);
	TAILQ_INSERT_TAIL(&desk->checks, c, next);
	desk->check_count++;
	return c;
}

enum login_result
login_check(struct login_desk *desk, struct login_cache *cache, struct loop *loop,
	    struct keyring *keys, const char *client, const char *name, const char *password,
	    void (*done)(void *context, enum login_result result), void *context,
	    struct login **out)
{
	unsigned char digest[DIGEST_BYTES];
	struct check *c, *fresh = NULL;
	const char *hash;
	struct login *l;
	bool known;

	hash = find_hash(desk, keyring_users(keys), name, &known);
	make_digest(desk, name, password, known ? hash : "", digest);
	if (known && is_remembered(cache, digest))
		return LOGIN_RIGHT;
	pthread_mutex_lock(&desk->lock);
	c = find_check(desk, digest, client, &fresh);
	if (c == NULL) {
		pthread_mutex_unlock(&desk->lock);
		return LOGIN_BUSY;
	}
	if (fresh != NULL) {
		c->keys = keyring_ref(keys);
		c->hash = hash;
		c->known = known;
		c->password = mem_strdup(password);
	}
	*out = l = mem_zalloc(sizeof(*l));
	l->post.run = login_answered;
	l->loop = loop;
	l->cache = cache;
	memcpy(l->digest, digest, DIGEST_BYTES);
	l->done = done;
	l->context = context;
	LIST_INSERT_HEAD(&c->logins, l, next);
	c->login_count++;
	pthread_mutex_unlock(&desk->lock);
	if (fresh != NULL)
		loop_post(desk->loop, &fresh->post);
	return LOGIN_WAIT;
}

void
login_forget(struct login *l)
{
	atomic_store(&l->forgotten, true);
}
