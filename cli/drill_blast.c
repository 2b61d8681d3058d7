/*
 * The blast by libcurl's SMTP: a few handles, each with a message under way, until all were
 * accepted. Called by drill.c; one thread, which serves the sink too, since what leaks arrives
 * there during the blast.
 */
#include "cli/drill_blast.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/drill_sink.h"
#include "cli/screen.h"

enum { REPLY_BYTES = 300, CONNECT_SECONDS = 10, MESSAGE_SECONDS = 60, POLL_MS = 100 };

/* One handle, and the message that it sends. */
struct shot {
	CURL *curl;
	struct curl_slist *recipients;
	struct buf message;
	size_t sent;
	uint32_t count; /* recipients */
	char reply[REPLY_BYTES];
};

struct blaster {
	struct drill_blast *blast;
	CURLM *multi;
	struct shot *shots;
	char *url;
	uint32_t next; /* the first recipient of the next message, from 1 */
	uint32_t under_way;
};

static size_t
shot_read(char *out, size_t size, size_t n, void *context)
{
	struct shot *shot = context;
	size_t left = shot->message.len - shot->sent, take = size * n;

	if (take > left)
		take = left;
	memcpy(out, shot->message.data + shot->sent, take);
	shot->sent += take;
	return take;
}

/* For SMTP these are the server's replies; the last one says why. */
static size_t
shot_hear(char *data, size_t size, size_t n, void *context)
{
	struct shot *shot = context;
	size_t len = size * n, keep = len < sizeof(shot->reply) - 1 ? len : sizeof(shot->reply) - 1;

	memcpy(shot->reply, data, keep);
	shot->reply[keep] = '\0';
	shot->reply[strcspn(shot->reply, "\r\n")] = '\0';
	return len;
}

static void
shot_write(struct shot *shot, const struct drill_blast *b, uint32_t first)
{
	char date[CLOCK_RFC5322_BYTES];
	char *to;

	clock_format_rfc5322(clock_wall(), date);
	buf_clear(&shot->message);
	shot->sent = 0;
	curl_slist_free_all(shot->recipients);
	shot->recipients = NULL;
	for (uint32_t i = 0; i < shot->count; i++) {
		to = mem_printf("<drill-%06u@%s>", first + i, b->domain);
		shot->recipients = curl_slist_append(shot->recipients, to);
		free(to);
	}
	buf_printf(
	    &shot->message,
	    "Date: %s\r\n"
	    "From: mailfuse drill <drill@%s>\r\n"
	    "To: drill-%06u@%s\r\n"
	    "Subject: [mailfuse drill %s] a synthetic blast, for nobody\r\n"
	    "Message-ID: <%06u@%s>\r\n"
	    "X-Mailfuse-Drill: %s\r\n"
	    "Auto-Submitted: auto-generated\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n"
	    "\r\n"
	    "This is mail of a drill: `mailfuse drill` sends it through the gate to see that\r\n"
	    "the fuse blows. Its address does not exist, and it reaches nobody.\r\n",
	    date, b->domain, first, b->domain, b->id, first, b->domain, b->id);
}

/* The next message on this handle; false if there is none left. */
static bool
shot_fire(struct blaster *x, struct shot *shot)
{
	const struct drill_blast *b = x->blast;
	uint32_t left = b->recipients - (x->next - 1);

	if (left == 0)
		return false;
	shot->count = b->each < left ? b->each : left;
	shot_write(shot, b, x->next);
	x->next += shot->count;
	curl_easy_setopt(shot->curl, CURLOPT_MAIL_RCPT, shot->recipients);
	curl_easy_setopt(shot->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)shot->message.len);
	curl_multi_add_handle(x->multi, shot->curl);
	x->under_way++;
	return true;
}

static bool
shot_prepare(struct blaster *x, struct shot *shot)
{
	const char *tls = x->blast->tls;
	CURL *curl = shot->curl = curl_easy_init();

	if (curl == NULL)
		return false;
	/* The path is what EHLO says. No sender is set: <>, to whom no report ever goes. */
	curl_easy_setopt(curl, CURLOPT_URL, x->url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, shot_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, shot);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, shot_hear);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, shot);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, shot);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)MESSAGE_SECONDS);
	if (strcmp(tls, "required") == 0)
		curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL);
	/* Our own listener on our own machine, by its address, which no certificate names; and
	 * what goes there is nobody's secret for longer than the drill. */
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	return true;
}

/* False and the reason if a message was not accepted. */
static bool
blaster_collect(struct blaster *x, struct buf *error)
{
	struct CURLMsg *message;
	struct shot *shot;
	int left;

	while ((message = curl_multi_info_read(x->multi, &left)) != NULL) {
		CURLcode result = message->data.result;
		void *private = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		shot = private;
		curl_multi_remove_handle(x->multi, shot->curl);
		x->under_way--;
		if (result != CURLE_OK) {
			buf_printf(error, "the listener on %s did not accept it: %s",
				   x->blast->address,
				   shot->reply[0] >= '4' && shot->reply[0] <= '5'
				       ? screen_text(shot->reply)
				       : curl_easy_strerror(result));
			return false;
		}
		x->blast->accepted += shot->count;
		shot_fire(x, shot);
	}
	return true;
}

/* Waits for the listener or the sink. */
static void
blaster_wait(struct blaster *x)
{
	struct pollfd fds[DRILL_SINK_FDS];
	struct curl_waitfd wait[DRILL_SINK_FDS];
	size_t count = drill_sink_fds(x->blast->sink, fds);

	for (size_t i = 0; i < count; i++)
		wait[i] = (struct curl_waitfd){
		    .fd = fds[i].fd,
		    .events = (short)(CURL_WAIT_POLLIN |
				      (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
	curl_multi_poll(x->multi, wait, (unsigned)count, POLL_MS, NULL);
	drill_sink_serve(x->blast->sink, 0);
}

static bool
blaster_run(struct blaster *x, struct buf *error)
{
	int running;

	for (uint32_t i = 0; i < x->blast->connections; i++) {
		if (!shot_prepare(x, &x->shots[i])) {
			buf_add_text(error, "libcurl does not start; out of memory?");
			return false;
		}
		shot_fire(x, &x->shots[i]);
	}
	while (x->under_way > 0) {
		curl_multi_perform(x->multi, &running);
		if (!blaster_collect(x, error))
			return false;
		if (x->blast->stop()) {
			buf_add_text(error, "it was interrupted");
			return false;
		}
		if (x->under_way > 0)
			blaster_wait(x);
	}
	return true;
}

bool
drill_blast_run(struct drill_blast *b, struct buf *error)
{
	struct blaster x = {.blast = b, .multi = curl_multi_init(), .next = 1};
	bool done;

	x.shots = mem_zalloc(b->connections * sizeof(*x.shots));
	x.url = mem_printf("%s://%s/%s", strcmp(b->tls, "implicit") == 0 ? "smtps" : "smtp",
			   b->address, b->helo);
	b->first_at = clock_wall();
	done = blaster_run(&x, error);
	for (uint32_t i = 0; i < b->connections; i++) {
		struct shot *shot = &x.shots[i];

		if (shot->curl != NULL) {
			curl_multi_remove_handle(x.multi, shot->curl);
			curl_easy_cleanup(shot->curl);
		}
		curl_slist_free_all(shot->recipients);
		buf_free(&shot->message);
	}
	curl_multi_cleanup(x.multi);
	free(x.shots);
	free(x.url);
	return done;
}
