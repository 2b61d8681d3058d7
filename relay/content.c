/*
 * The content of messages as a session's client sends it: after DATA, or in chunks of BDAT (RFC
 * 3030), and how slowly it may come. Called by session.c and commands.c, on the session's loop;
 * owns nothing.
 */
#include "relay/content.h"

#include "base/clock.h"
#include "relay/intake.h"

/* Less than that in one idle_timeout is a client that only wants to be there. */
enum { SLOW_BYTES_MIN = 1024 };

/*
 * True if less than SLOW_BYTES_MIN came in an idle_timeout, although something comes now and then:
 * such a client only keeps a place. It was told so; the session has ended.
 */
static bool
content_is_too_slow(struct session *s)
{
	int64_t now = clock_mono();
	bool over = s->content_since != 0 && now - s->content_since > s->limits->idle_timeout;

	if (over && s->content_bytes < SLOW_BYTES_MIN) {
		session_end_slow(s);
		return true;
	}
	if (over || s->content_since == 0) {
		s->content_since = now;
		s->content_bytes = 0;
	}
	return false;
}

/* The octets of BDAT have come. */
static void
content_end_chunk(struct session *s)
{
	const struct session_refusal *refusal = &s->chunk_refusal;

	session_set_state(s, SESSION_COMMAND);
	if (refusal->code != 0)
		session_reply(s, refusal->code, refusal->status, "%s", refusal->text);
	else
		session_reply(s, 250, "2.0.0", "%llu octets received",
			      (unsigned long long)s->chunk_size);
}

static size_t
content_take_chunk(struct session *s, const char *data, size_t len)
{
	size_t used = len < s->chunk_left ? len : (size_t)s->chunk_left;
	bool whole = used == s->chunk_left;

	if (s->chunk_refusal.code == 0) {
		if (!intake_feed_chunk(s->intake, data, used, whole && s->chunk_last))
			return 0;
		/* The intake may have ended the message, and with it the chunk. */
		if (s->state != SESSION_CHUNK) {
			s->chunk_left = 0;
			return used;
		}
	}
	s->chunk_left -= used;
	if (s->chunk_left > 0)
		return used;
	if (s->chunk_refusal.code != 0 || intake_end_chunk(s->intake))
		content_end_chunk(s);
	else
		s->mail_refused = true;
	return used;
}

void
content_begin_chunk(struct session *s, uint64_t size, bool last,
		    const struct session_refusal *refusal)
{
	s->chunk_size = s->chunk_left = size;
	s->chunk_last = last;
	s->chunk_refusal = *refusal;
	session_set_state(s, SESSION_CHUNK);
	if (refusal->code != 0 && (s->message != NULL || s->intake != NULL)) {
		session_reset(s);
		s->mail_refused = true;
	}
	if (refusal->code == 0 && s->intake == NULL) {
		s->intake = intake_start(s);
		s->content_since = 0;
	}
	if (size == 0)
		content_take_chunk(s, "", 0);
}

size_t
content_take(struct session *s, const char *data, size_t len)
{
	size_t used;

	if (content_is_too_slow(s))
		return 0;
	used = s->state == SESSION_DATA ? intake_feed(s->intake, data, len)
					: content_take_chunk(s, data, len);
	s->content_bytes += used;
	return used;
}
