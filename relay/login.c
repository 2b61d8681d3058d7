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

#include "base/log.h"
#include "base/mem.h"
#include "base/password.h"
#include "base/text.h"
#include "net/client_name.h"
#include "net/loop.h"

enum { CHECKS_MAX = 64, CHECK_LOGINS_MAX = 4096, KEY_BYTES = 32 };

struct check {
	TAILQ_ENTRY(check) next;
	uint64_t turn;
	unsigned char digest[LOGIN_DIGEST_BYTES];
	char client[CLIENT_NAME_BYTES]; /* who asked first */
	struct keyring *keys;           /* holds `hash` */
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
	unsigned char digest[LOGIN_DIGEST_BYTES];
	enum login_result result;
	void (*done)(void *context, enum login_result result);
	void *context;
	_Atomic bool forgotten; /* written on its loop */
};

struct login_desk {
	struct loop *loop;
	unsigned char key[KEY_BYTES];
	pthread_mutex_t lock;
	TAILQ_HEAD(check_list, check) checks; /* not answered yet, as they came */
	size_t check_count;
	/*
	 * The turn that is served. A client's first check is in the next one, each more that waits
	 * in the one after: so everybody has one check computed before anybody has two.
	 */
	uint64_t turn;
	struct loop_post work; /* posted to `loop` while working */
	bool working;
	_Atomic bool closing;
};

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
close_check(struct login_desk *desk, struct check *c)
{
	TAILQ_REMOVE(&desk->checks, c, next);
	desk->check_count--;
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

/* The check whose turn it is, NULL if there is none; *compute: somebody waits for it. */
static struct check *
take_check(struct login_desk *desk, bool *compute)
{
	struct check *c, *first = NULL;

	pthread_mutex_lock(&desk->lock);
	TAILQ_FOREACH (c, &desk->checks, next)
		if (first == NULL || c->turn < first->turn)
			first = c;
	desk->working = first != NULL;
	if (first != NULL) {
		desk->turn = first->turn;
		*compute = !atomic_load(&desk->closing) && is_wanted(first);
		if (!*compute)
			close_check(desk, first);
	}
	pthread_mutex_unlock(&desk->lock);
	return first;
}

/* Equal checks may join it while it is computed. */
static enum login_result
compute_check(struct login_desk *desk, struct check *c)
{
	bool right = password_verify(c->hash, c->password) && c->known;

	pthread_mutex_lock(&desk->lock);
	close_check(desk, c);
	pthread_mutex_unlock(&desk->lock);
	return right ? LOGIN_RIGHT : LOGIN_WRONG;
}

static void
run_checks(struct loop_post *post)
{
	struct login_desk *desk =
	    (struct login_desk *)((char *)post - offsetof(struct login_desk, work));
	struct check *c;
	bool compute;

	while ((c = take_check(desk, &compute)) != NULL)
		answer_check(c, compute ? compute_check(desk, c) : LOGIN_BUSY);
}

struct login_desk *
login_desk_new(void)
{
	struct login_desk *desk = mem_zalloc(sizeof(*desk));

	if (RAND_bytes(desk->key, KEY_BYTES) != 1)
		fatal("the system has no random numbers");
	pthread_mutex_init(&desk->lock, NULL);
	TAILQ_INIT(&desk->checks);
	desk->work.run = run_checks;
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
			login_cache_add(l->cache, l->digest);
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
	    unsigned char out[LOGIN_DIGEST_BYTES])
{
	size_t len = 3 * sizeof(uint64_t) + strlen(name) + strlen(password) + strlen(hash), out_len;
	unsigned char *text = mem_alloc(len), *at = text;

	at = put_text(at, name);
	at = put_text(at, password);
	put_text(at, hash);
	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, desk->key, KEY_BYTES, text, len, out,
		      LOGIN_DIGEST_BYTES, &out_len) == NULL ||
	    out_len != LOGIN_DIGEST_BYTES)
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

/* Under the lock. */
static uint64_t
find_turn(const struct login_desk *desk, const char *client)
{
	uint64_t turn = desk->turn;
	const struct check *c;

	TAILQ_FOREACH (c, &desk->checks, next)
		if (c->turn > turn && strcmp(c->client, client) == 0)
			turn = c->turn;
	return turn + 1;
}

/*
 * Makes room at a full desk for a check in this turn: the last of those that come later goes, which
 * is one of the client that has most. NULL if there is none. Under the lock.
 */
static struct check *
displace_check(struct login_desk *desk, uint64_t turn)
{
	struct check *c, *last = NULL;

	TAILQ_FOREACH (c, &desk->checks, next)
		if (c->turn > turn && (last == NULL || c->turn >= last->turn))
			last = c;
	if (last != NULL)
		close_check(desk, last);
	return last;
}

/*
 * The check that computes the same already, or a new one without its password; NULL if there is no
 * place. *displaced is to be told. Under the lock.
 */
static struct check *
find_check(struct login_desk *desk, const unsigned char *digest, const char *client,
	   struct check **displaced)
{
	char name[CLIENT_NAME_BYTES];
	struct check *c;
	uint64_t turn;

	TAILQ_FOREACH (c, &desk->checks, next)
		if (memcmp(c->digest, digest, LOGIN_DIGEST_BYTES) == 0)
			return c->login_count < CHECK_LOGINS_MAX ? c : NULL;
	client_name(client, name);
	turn = find_turn(desk, name);
	if (desk->check_count >= CHECKS_MAX) {
		*displaced = displace_check(desk, turn);
		if (*displaced == NULL)
			return NULL;
	}
	c = mem_zalloc(sizeof(*c));
	c->turn = turn;
	memcpy(c->digest, digest, LOGIN_DIGEST_BYTES);
	memcpy(c->client, name, sizeof(name));
	LIST_INIT(&c->logins);
	TAILQ_INSERT_TAIL(&desk->checks, c, next);
	desk->check_count++;
	return c;
}

static struct login *
make_login(struct login_cache *cache, struct loop *loop, const unsigned char *digest,
	   void (*done)(void *context, enum login_result result), void *context)
{
	struct login *l = mem_zalloc(sizeof(*l));

	l->post.run = login_answered;
	l->loop = loop;
	l->cache = cache;
	memcpy(l->digest, digest, LOGIN_DIGEST_BYTES);
	l->done = done;
	l->context = context;
	return l;
}

enum login_result
login_check(struct login_desk *desk, struct login_cache *cache, struct loop *loop,
	    struct keyring *keys, const char *client, const char *name, const char *password,
	    void (*done)(void *context, enum login_result result), void *context,
	    struct login **out)
{
	unsigned char digest[LOGIN_DIGEST_BYTES];
	struct check *c, *displaced = NULL;
	bool known, begin = false;
	const char *hash;

	hash = find_hash(desk, keyring_users(keys), name, &known);
	make_digest(desk, name, password, known ? hash : "", digest);
	if (known && login_cache_has(cache, digest))
		return LOGIN_RIGHT;
	pthread_mutex_lock(&desk->lock);
	c = find_check(desk, digest, client, &displaced);
	if (c != NULL) {
		if (c->password == NULL) {
			c->keys = keyring_ref(keys);
			c->hash = hash;
			c->known = known;
			c->password = mem_strdup(password);
		}
		*out = make_login(cache, loop, digest, done, context);
		LIST_INSERT_HEAD(&c->logins, *out, next);
		c->login_count++;
		begin = !desk->working;
		desk->working = true;
	}
	pthread_mutex_unlock(&desk->lock);
	if (displaced != NULL)
		answer_check(displaced, LOGIN_BUSY);
	if (begin)
		loop_post(desk->loop, &desk->work);
	return c != NULL ? LOGIN_WAIT : LOGIN_BUSY;
}

void
login_forget(struct login *l)
{
	atomic_store(&l->forgotten, true);
}
