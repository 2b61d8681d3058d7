/*
 * The webhook channel: the JSON of docs/api.md, "Alerts", by POST; signed where the channel has a
 * secret. Called by outbox.c.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "alert/channel.h"
#include "alert/http.h"
#include "base/clock.h"
#include "base/log.h"

enum { SIGNATURE_BYTES = 32 };

struct signature {
	char timestamp[64], value[64 + 2 * SIGNATURE_BYTES];
};

/*
 * HMAC-SHA256 (RFC 2104) over the time, a dot and the body: who has no secret can neither make up a
 * note nor change one, and an old one that is sent again shows its age.
 */
static void
sign(const char *secret, const char *json, size_t len, struct signature *out)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct buf text = {0};
	int64_t seconds = clock_wall() / CLOCK_SECOND;
	size_t at;

	buf_printf(&text, "%" PRId64 ".", seconds);
	buf_add(&text, json, len);
	if (HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text.data,
		 text.len, mac, &n) == NULL ||
	    n != SIGNATURE_BYTES)
		fatal("cannot make an HMAC");
	buf_free(&text);
	snprintf(out->timestamp, sizeof(out->timestamp), "X-Mailfuse-Timestamp: %" PRId64, seconds);
	at = (size_t)snprintf(out->value, sizeof(out->value), "X-Mailfuse-Signature: v1=");
	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(out->value + at, sizeof(out->value) - at, "%02x", mac[i]);
}

static void *
webhook_start(const struct channel_services *services, const struct config_alert *channel,
	      const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct http_note post = {.url = channel->url, .json = note->json, .len = note->json_len};
	struct signature signature;

	if (channel->secret != NULL && channel->secret[0] != '\0') {
		sign(channel->secret, note->json, note->json_len, &signature);
		post.headers[0] = signature.timestamp;
		post.headers[1] = signature.value;
	}
	return http_post(services->http, &post, channel->timeout, done, context, why);
}

static void
webhook_cancel(void *attempt)
{
	http_cancel(attempt);
}

const struct channel_type channel_webhook = {webhook_start, webhook_cancel};
