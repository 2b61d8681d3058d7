/*
 * blast: makes seeded mails, writes them to files, or sends them over SMTP and says how long that
 * took. The source of every measurement of tests/bench/run. One thread, one epoll. Ends with 1 if a
 * mail was not accepted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/bench/letters.h"
#include "tests/bench/talk.h"

enum { EVENTS = 256, CONNECTING_MAX = 128, CONNECTIONS_MAX = 100000 };

static const char usage[] =
    "Usage: blast [OPTION..] HOST:PORT | blast [OPTION..] --write DIR\n"
    "Makes mails that look like a newsletter, and sends or writes them.\n"
    "\n"
    "  --count N            mails (1000)\n"
    "  --connections N      at the same time (10)\n"
    "  --per-connection N   mails, then QUIT and a new connection (no limit)\n"
    "  --recipients N       of each mail (1)\n"
    "  --rate N             mails a second, at most\n"
    "  --tls                STARTTLS; the server's certificate is not verified\n"
    "  --idle               opens the connections, says EHLO and stays until stdin closes\n"
    "  --size BYTES         of a mail before its encoding, about (30000)\n"
    "  --kind html|plain    a newsletter, or text where only the header differs (html)\n"
    "  --encoding 8bit|qp|base64   of an HTML mail's parts (qp)\n"
    "  --subject TEXT       of all\n"
    "  --personal-subject   the recipient's name stands before it\n"
    "  --seed N             other mails (1)\n"
    "  --first N            number of the first mail (0): its recipient is cN@customers.example\n"
    "  --from ADDRESS       (news@shop.example)\n"
    "  --write DIR          one file each; - is standard output\n"
    "\n"
    "Prints one JSON object: what was accepted, what failed by reply code, how long it took. "
    "Times\n"
    "are microseconds; those of a mail run from connect, or from MAIL on a connection that has\n"
    "carried one, to its 250.\n";

struct options {
	struct letters_options letters;
	unsigned connections;
	const char *write_to;
};

static void
fail(const char *what)
{
	fprintf(stderr, "blast: %s\n", what);
	exit(2);
}

static uint64_t
number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || *text < '0' || *text > '9' || n < least || n > most) {
		fprintf(stderr, "blast: %s is no number from %ju to %ju\n", text, (uintmax_t)least,
			(uintmax_t)most);
		exit(2);
	}
	return n;
}

static int
word(const char *text, const char *const *words)
{
	int i;

	for (i = 0; words[i] != NULL; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	fprintf(stderr, "blast: %s is not known here; see blast --help\n", text);
	exit(2);
}

/* ---- options ---- */

static const struct option long_options[] = {{"count", required_argument, NULL, 'n'},
					     {"connections", required_argument, NULL, 'c'},
					     {"per-connection", required_argument, NULL, 'p'},
					     {"recipients", required_argument, NULL, 'r'},
					     {"rate", required_argument, NULL, 'a'},
					     {"tls", no_argument, NULL, 't'},
					     {"idle", no_argument, NULL, 'i'},
					     {"size", required_argument, NULL, 's'},
					     {"kind", required_argument, NULL, 'k'},
					     {"encoding", required_argument, NULL, 'e'},
					     {"subject", required_argument, NULL, 'S'},
					     {"personal-subject", no_argument, NULL, 'P'},
					     {"seed", required_argument, NULL, 'd'},
					     {"first", required_argument, NULL, 'f'},
					     {"from", required_argument, NULL, 'F'},
					     {"write", required_argument, NULL, 'w'},
					     {"help", no_argument, NULL, 'h'},
					     {NULL, 0, NULL, 0}};

static SSL_CTX *
make_tls(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL)
		fail("no memory for TLS");
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	return tls;
}

static void
set_option(struct options *o, struct blast *b, int option)
{
	static const char *const kinds[] = {"html", "plain", NULL};
	static const char *const encodings[] = {"8bit", "qp", "base64", NULL};

	switch (option) {
	case 'n':
		b->count = number(optarg, 1, UINT32_MAX);
		break;
	case 'c':
		o->connections = (unsigned)number(optarg, 1, CONNECTIONS_MAX);
		break;
	case 'p':
		b->per_connection = number(optarg, 1, UINT32_MAX);
		break;
	case 'r':
		b->recipients = (unsigned)number(optarg, 1, 1000);
		break;
	case 'a':
		b->rate = (double)number(optarg, 1, 1000000);
		break;
	case 't':
		b->tls = make_tls();
		break;
	case 'i':
		b->idle = true;
		break;
	case 's':
		o->letters.size = number(optarg, 100, 50000000);
		break;
	case 'k':
		o->letters.kind = (enum letters_kind)word(optarg, kinds);
		break;
	case 'e':
		o->letters.encoding = (enum letters_encoding)word(optarg, encodings);
		break;
	case 'S':
		o->letters.subject = optarg;
		break;
	case 'P':
		o->letters.personal_subject = true;
		break;
	case 'd':
		o->letters.seed = number(optarg, 0, UINT64_MAX);
		break;
	case 'f':
		b->first = number(optarg, 0, UINT64_MAX / 2);
		break;
	case 'F':
		b->sender = optarg;
		break;
	case 'w':
		o->write_to = optarg;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

static void
read_address(const char *text, struct sockaddr_in *out)
{
	char host[64];
	const char *colon = strrchr(text, ':');

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		fail("say where to: HOST:PORT, an IPv4 address such as 127.0.0.1:2525");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	out->sin_family = AF_INET;
	out->sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
	if (inet_pton(AF_INET, host, &out->sin_addr) != 1)
		fail("the host must be an IPv4 address such as 127.0.0.1");
}

/* ---- writing ---- */

static void
write_whole(int fd, const struct buf *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = write(fd, b->data + done, b->len - done);

		if (n < 0) {
			perror("blast: cannot write");
			exit(1);
		}
		done += (size_t)n;
	}
}

static void
write_mails(const struct options *o, const struct blast *b)
{
	struct buf mail = {0};
	char path[4096];
	uint64_t i;

	for (i = 0; i < b->count; i++) {
		int fd = STDOUT_FILENO;

		buf_clear(&mail);
		letters_add(b->letters, b->first + i, &mail);
		if (strcmp(o->write_to, "-") != 0) {
			snprintf(path, sizeof(path), "%s/%08ju.eml", o->write_to,
				 (uintmax_t)(b->first + i));
			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
			if (fd < 0) {
				perror(path);
				exit(1);
			}
		}
		write_whole(fd, &mail);
		if (fd != STDOUT_FILENO)
			close(fd);
	}
	buf_free(&mail);
}

/* ---- sending ---- */

/* Room for every connection; the limit that is allowed at most. */
static void
raise_files(unsigned connections)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < connections + 64) {
		l.rlim_cur = connections + 64;
		if (l.rlim_max < l.rlim_cur)
			l.rlim_max = l.rlim_cur;
		if (setrlimit(RLIMIT_NOFILE, &l) != 0)
			fail("not so many open files are allowed: see ulimit -n");
	}
}

static void
wait_for_stdin(const struct blast *b)
{
	char c;

	printf("{\"idle\": %u, \"unreached\": %ju}\n", b->idling, (uintmax_t)b->unreached);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static void
send_mails(struct blast *b, struct talk **talks, unsigned count)
{
	struct epoll_event events[EVENTS];
	unsigned opened = 0;
	int i, n;

	for (;;) {
		/* Not more at once than a backlog takes. */
		while (opened < count && b->connecting < CONNECTING_MAX)
			talk_open(talks[opened++]);
		if (b->open == 0 || (b->idle && b->idling + b->unreached >= count))
			return;
		n = epoll_wait(b->epoll, events, EVENTS, b->rate > 0 ? 1 : -1);
		for (i = 0; i < n; i++)
			talk_go_on(events[i].data.ptr);
		for (i = 0; b->rate > 0 && i < (int)count; i++)
			talk_nudge(talks[i]);
	}
}

/* ---- what it prints ---- */

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t
percentile(const struct blast *b, double percent)
{
	uint64_t place = (uint64_t)((double)b->accepted * percent / 100);

	if (b->accepted == 0)
		return 0;
	return b->latency[place < b->accepted ? place : b->accepted - 1];
}

static void
print_result(struct blast *b)
{
	int64_t ended_at = talk_now();
	struct rusage u;
	const char *comma = "";
	unsigned i;

	getrusage(RUSAGE_SELF, &u);
	qsort(b->latency, b->accepted, sizeof(*b->latency), compare);
	printf("{\"accepted\": %ju, \"failed\": {", (uintmax_t)b->accepted);
	for (i = 0; i < TALK_CODE_MAX; i++) {
		if (b->failed[i] == 0)
			continue;
		printf("%s\"%u\": %ju", comma, i, (uintmax_t)b->failed[i]);
		comma = ", ";
	}
	printf("}, \"broken\": %ju, \"unreached\": %ju, \"bytes\": %ju, \"seconds\": %.6f, "
	       "\"started_us\": %jd, \"ended_us\": %jd, \"cpu_us\": %jd, ",
	       (uintmax_t)b->broken, (uintmax_t)b->unreached, (uintmax_t)b->bytes,
	       (double)(ended_at - b->started_at) / 1e6, (intmax_t)b->started_at,
	       (intmax_t)ended_at,
	       (intmax_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
		   u.ru_stime.tv_usec);
	printf("\"p50\": %u, \"p90\": %u, \"p99\": %u, \"max\": %u}\n", percentile(b, 50),
	       percentile(b, 90), percentile(b, 99), percentile(b, 100));
}

static int
blast(struct blast *b, unsigned connections)
{
	struct talk **talks;
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	raise_files(connections);
	if (!b->idle && connections > b->count)
		connections = (unsigned)b->count;
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->latency = mem_alloc(b->count * sizeof(*b->latency));
	talks = mem_alloc(connections * sizeof(struct talk *));
	for (i = 0; i < connections; i++)
		talks[i] = talk_new(b);
	if (b->idle)
		b->count = connections;
	b->started_at = talk_now();
	send_mails(b, talks, connections);
	if (b->idle)
		wait_for_stdin(b);
	else
		print_result(b);
	for (i = 0; i < connections; i++)
		talk_free(talks[i]);
	free(talks);
	free(b->latency);
	close(b->epoll);
	return b->idle ? b->unreached > 0 : b->accepted < b->count;
}

int
main(int argc, char **argv)
{
	struct options o = {.letters = {.encoding = LETTERS_QP, .size = 30000, .seed = 1},
			    .connections = 10};
	struct blast b = {.count = 1000, .recipients = 1, .sender = "news@shop.example"};
	int option, result = 0;

	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		set_option(&o, &b, option);
	if (argc - optind != (o.write_to == NULL)) {
		fputs(usage, stderr);
		return 2;
	}
	b.letters = letters_new(&o.letters);
	if (o.write_to != NULL) {
		write_mails(&o, &b);
	} else {
		read_address(argv[optind], &b.server);
		result = blast(&b, o.connections);
	}
	letters_free(b.letters);
	SSL_CTX_free(b.tls);
	return result;
}
