/*
 * Source -> environment. Compiled by policy_new() on the main thread, then read by every relay loop
 * once a connection. The policy frees it.
 *
 * A block matches when all its keys do; what it scores is a row of four numbers, one a key,
 * compared in the order user, tls_name, network, listener. An absent key scores 0.
 */
#include "filters/identify.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "filters/gate.h"

/* In the order in which they are compared. */
enum identify_key { KEY_USER, KEY_TLS_NAME, KEY_NETWORK, KEY_LISTENER, KEY_COUNT };

static const char *const key_names[KEY_COUNT] = {"user", "tls_name", "network", "listener"};

/* An exact value beats any glob; among globs the one with more fixed characters. */
enum { SCORE_EXACT = 1000000 };

struct ip {
	unsigned char bytes[16];
	int len; /* 4, 16, 0 = none */
};

struct identify_value {
	const char *text; /* the configuration's */
	char *why;        /* `network 10.2.0.0/16` */
	int score;
	bool glob;
	struct ip ip; /* a network */
	int bits;
};

struct identify_list {
	bool present;                  /* an absent key always holds, an empty list never does */
	struct identify_value *values; /* highest score first */
	size_t count;
};

struct identify_block {
	const struct config_environment *environment;
	struct identify_list keys[KEY_COUNT];
};

struct identify {
	struct identify_block *blocks; /* in the file's order */
	size_t count;
};

/* An IPv4 client that came over an IPv6 socket (::ffff:10.0.0.1) is an IPv4 client. */
static bool
ip_parse(const char *text, struct ip *ip)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	char copy[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%"); /* the scope of a link-local address */

	ip->len = 0;
	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, ip->bytes) == 1) {
		ip->len = 4;
	} else if (inet_pton(AF_INET6, copy, ip->bytes) == 1) {
		ip->len = 16;
		if (memcmp(ip->bytes, mapped, sizeof(mapped)) == 0) {
			memmove(ip->bytes, ip->bytes + 12, 4);
			ip->len = 4;
		}
	}
	return ip->len != 0;
}

static bool
ip_in_network(const struct ip *ip, const struct ip *network, int bits)
{
	int whole = bits / 8, rest = bits % 8;

	if (ip->len == 0 || ip->len != network->len)
		return false;
	if (memcmp(ip->bytes, network->bytes, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((ip->bytes[whole] ^ network->bytes[whole]) >> (8 - rest)) == 0;
}

/* Digits after the slash, at most three; -1 for anything else. */
static int
bits_parse(const char *text)
{
	int bits = 0;

	if (*text == '\0' || strlen(text) > 3)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		bits = bits * 10 + (*text - '0');
	}
	return bits;
}

/* True if nothing is set behind the prefix; clears what is. */
static bool
ip_mask(struct ip *ip, int bits)
{
	bool clean = true;
	int i;

	for (i = bits; i < ip->len * 8; i++) {
		unsigned char bit = (unsigned char)(0x80 >> (i % 8));

		if (ip->bytes[i / 8] & bit)
			clean = false;
		ip->bytes[i / 8] &= (unsigned char)~bit;
	}
	return clean;
}

/* NULL or why not, for free(). */
static char *
network_parse(const char *text, struct identify_value *value)
{
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char *address = mem_strndup(text, len), shown[INET6_ADDRSTRLEN] = "";
	bool ok = strchr(address, '%') == NULL && ip_parse(address, &value->ip);
	/* ::ffff:10.0.0.0/104 is 10.0.0.0/8 */
	int shift = ok && value->ip.len == 4 && strchr(address, ':') != NULL ? 96 : 0;

	free(address);
	if (!ok)
		return mem_strdup("is no network; write 10.2.0.0/16 or 2001:db8::/32");
	value->bits = slash == NULL ? value->ip.len * 8 : bits_parse(slash + 1) - shift;
	if (value->bits < 0 || value->bits > value->ip.len * 8)
		return mem_printf(
		    "has no valid prefix length; write a number up to %d after the slash",
		    value->ip.len * 8 + shift);
	if (!ip_mask(&value->ip, value->bits)) {
		inet_ntop(value->ip.len == 4 ? AF_INET : AF_INET6, value->ip.bytes, shown,
			  sizeof(shown));
		return mem_printf(
		    "has bits set behind its prefix; write %s/%d if you mean the network", shown,
		    value->bits);
	}
	/* The default route is still more than no network at all. */
	value->score = value->bits + 1;
	return NULL;
}

static void
word_parse(const char *text, enum identify_key key, struct identify_value *value)
{
	const char *c;

	value->glob = key != KEY_LISTENER && strpbrk(text, "*?") != NULL;
	value->score = value->glob ? 1 : SCORE_EXACT;
	for (c = text; value->glob && *c != '\0'; c++)
		value->score += *c != '*' && *c != '?';
}

static int
by_score(const void *a, const void *b)
{
	const struct identify_value *x = a, *y = b;

	return (y->score > x->score) - (y->score < x->score);
}

static void
list_compile(struct identify_list *list, enum identify_key key, char *const *texts,
	     const char *environment, struct buf *errors)
{
	struct identify_value *value;
	char *why;

	list->present = texts != NULL;
	for (; texts != NULL && *texts != NULL; texts++) {
		list->values = mem_resize_array(list->values, list->count + 1, sizeof(*value));
		value = &list->values[list->count++];
		*value = (struct identify_value){.text = *texts};
		value->why = mem_printf("%s %s", key_names[key], *texts);
		why = key == KEY_NETWORK ? network_parse(*texts, value) : NULL;
		if (why != NULL)
			buf_printf(errors, "environment \"%s\": network \"%s\" %s\n", environment,
				   *texts, why);
		else if (key != KEY_NETWORK && **texts == '\0')
			buf_printf(errors,
				   "environment \"%s\": an empty %s matches nobody; remove it or "
				   "write a name\n",
				   environment, key_names[key]);
		else if (key != KEY_NETWORK)
			word_parse(*texts, key, value);
		free(why);
	}
	if (list->count > 1)
		qsort(list->values, list->count, sizeof(*list->values), by_score);
}

static void
block_compile(struct identify_block *block, const struct config_match *match, struct buf *errors)
{
	char **const texts[KEY_COUNT] = {match->users, match->tls_names, match->networks,
					 match->listeners};
	const char *name = block->environment->name;
	bool any = false;
	int key;

	for (key = 0; key < KEY_COUNT; key++) {
		list_compile(&block->keys[key], (enum identify_key)key, texts[key], name, errors);
		any = any || texts[key] != NULL;
	}
	if (!any)
		buf_printf(errors,
			   "environment \"%s\": a match without a key would take everybody; write "
			   "match { network = {\"10.2.0.0/16\"} }, or user, tls_name, listener\n",
			   name);
}

static bool
value_same(const struct identify_value *a, const struct identify_value *b, enum identify_key key)
{
	if (key == KEY_NETWORK)
		return a->ip.len == b->ip.len && a->bits == b->bits &&
		       memcmp(a->ip.bytes, b->ip.bytes, (size_t)a->ip.len) == 0;
	if (key == KEY_LISTENER)
		return strcmp(a->text, b->text) == 0;
	return strcasecmp(a->text, b->text) == 0;
}

/* A value that both lists have, NULL if none. O(a * b), when a configuration is loaded. */
static const struct identify_value *
list_common(const struct identify_list *a, const struct identify_list *b, enum identify_key key)
{
	size_t i, j;

	for (i = 0; i < a->count; i++) {
		for (j = 0; j < b->count; j++) {
			if (value_same(&a->values[i], &b->values[j], key))
				return &a->values[i];
		}
	}
	return NULL;
}

/* Two blocks of different environments that would win over the same client alike. */
static void
blocks_compare(const struct identify_block *a, const struct identify_block *b, struct buf *errors)
{
	const struct identify_value *common, *shown = NULL;
	int key;

	if (a->environment == b->environment)
		return;
	for (key = 0; key < KEY_COUNT; key++) {
		if (a->keys[key].present != b->keys[key].present)
			return;
		if (!a->keys[key].present)
			continue;
		common = list_common(&a->keys[key], &b->keys[key], (enum identify_key)key);
		if (common == NULL)
			return;
		if (shown == NULL)
			shown = common;
	}
	if (shown != NULL)
		buf_printf(errors,
			   "environment \"%s\": %s is also matched by environment \"%s\"; keep it "
			   "in one of "
			   "them\n",
			   b->environment->name, shown->why, a->environment->name);
}

struct identify *
identify_new(const struct config *config, struct buf *errors)
{
	struct identify *id = mem_zalloc(sizeof(*id));
	size_t before = errors->len, i, j;

	for (i = 0; i < config->environment_count; i++) {
		const struct config_environment *e = &config->environments[i];

		for (j = 0; j < e->match_count; j++) {
			id->blocks =
			    mem_resize_array(id->blocks, id->count + 1, sizeof(*id->blocks));
			id->blocks[id->count] = (struct identify_block){.environment = e};
			block_compile(&id->blocks[id->count++], &e->matches[j], errors);
		}
	}
	for (i = 0; errors->len == before && i < id->count; i++) {
		for (j = i + 1; j < id->count; j++)
			blocks_compare(&id->blocks[i], &id->blocks[j], errors);
	}
	if (errors->len == before)
		return id;
	identify_free(id);
	return NULL;
}

void
identify_free(struct identify *id)
{
	size_t i, j;
	int key;

	if (id == NULL)
		return;
	for (i = 0; i < id->count; i++) {
		for (key = 0; key < KEY_COUNT; key++) {
			struct identify_list *list = &id->blocks[i].keys[key];

			for (j = 0; j < list->count; j++)
				free(list->values[j].why);
			free(list->values);
		}
	}
	free(id->blocks);
	free(id);
}

/* The best value of the list for this client, NULL if none holds. */
static const struct identify_value *
list_match(const struct identify_list *list, enum identify_key key, const char *text,
	   const struct ip *ip)
{
	size_t i;

	if (key != KEY_NETWORK && (text == NULL || *text == '\0'))
		return NULL; /* `user = {"*"}` is anybody with a login */
	for (i = 0; i < list->count; i++) {
		const struct identify_value *v = &list->values[i];
		bool holds;

		if (key == KEY_NETWORK)
			holds = ip_in_network(ip, &v->ip, v->bits);
		else if (key == KEY_LISTENER)
			holds = strcmp(v->text, text) == 0;
		else
			holds = v->glob ? text_glob(v->text, text) : strcasecmp(v->text, text) == 0;
		if (holds)
			return v;
	}
	return NULL;
}

static bool
block_match(const struct identify_block *block, const char *const texts[KEY_COUNT],
	    const struct ip *ip, int scores[KEY_COUNT], const char **why)
{
	int key;

	*why = NULL;
	for (key = 0; key < KEY_COUNT; key++) {
		const struct identify_list *list = &block->keys[key];
		const struct identify_value *v;

		scores[key] = 0;
		if (!list->present)
			continue;
		v = list_match(list, (enum identify_key)key, texts[key], ip);
		if (v == NULL)
			return false;
		scores[key] = v->score;
		if (*why == NULL)
			*why = v->why;
	}
	return *why != NULL;
}

const struct config_environment *
identify_find(const struct identify *id, const struct gate_client *client, const char **why)
{
	const char *const texts[KEY_COUNT] = {client->user, client->tls_name, client->address,
					      client->listener};
	const struct config_environment *best = NULL;
	int best_scores[KEY_COUNT] = {0}, scores[KEY_COUNT], key;
	const char *line;
	struct ip ip = {.len = 0};
	size_t i;

	if (client->address != NULL)
		ip_parse(client->address, &ip);
	for (i = 0; i < id->count; i++) {
		const struct identify_block *block = &id->blocks[i];

		if (!block_match(block, texts, &ip, scores, &line))
			continue;
		for (key = 0; key < KEY_COUNT - 1 && scores[key] == best_scores[key]; key++)
			;
		/* Alike: overlapping globs that policy_new() could not see. The stricter one wins.
		 */
		if (best == NULL || scores[key] > best_scores[key] ||
		    (scores[key] == best_scores[key] && best->production &&
		     !block->environment->production)) {
			best = block->environment;
			memcpy(best_scores, scores, sizeof(scores));
			*why = line;
		}
	}
	return best;
}

/* ---- a drill */

bool
identify_is_drill(const struct config *config, const struct gate_client *client)
{
	const char *secret = config->drill.helo, *said = client->helo;
	unsigned char differs = 0;
	size_t len, i;

	if (secret == NULL || *secret == '\0' || said == NULL)
		return false;
	len = strlen(secret);
	if (strlen(said) != len)
		return false;
	/* Not memcmp(): how long it takes would tell how much of a guess is right. */
	for (i = 0; i < len; i++)
		differs |= (unsigned char)(secret[i] ^ said[i]);
	return differs == 0;
}

const struct config_environment *
identify_drill(const struct config *config, const char **why)
{
	*why = "the drill under way";
	return config_find_environment(config, CONFIG_DRILL);
}
