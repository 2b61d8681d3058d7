/*
 * The terminal under `mailfuse top`. One thread. Nothing here waits: signals come through a
 * descriptor, and what is drawn goes out by a description of the terminal of our own, since
 * O_NONBLOCK on the one that we were given would be the shell's too. Escape sequences are those of
 * ECMA-48 and xterm's alternate screen, which every terminal of today has.
 */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/screen.h"

/* The other screen, no cursor, no wrapping: a line that is too long is cut by the terminal. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[0m\033[2J"
/* CAN ends a sequence that was cut in the middle. */
#define LEAVE "\030\033[0m\033[?7h\033[?25h\033[?1049l"

enum { KEYS_MAX = 64, PIECE = 256, CRASHES = 5, LEAVE_MS = 200, SEQUENCE_MS = 25, ESCAPE = 27 };

static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
static const int crashes[CRASHES] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

struct terminal {
	int out;      /* never blocks; stdout itself where it could not be opened again */
	int signals;  /* signalfd */
	bool keys_on; /* stdin is a terminal */
	sigset_t set, before;
	int ended_by; /* a signal; -1: the terminal is gone; 0: nothing yet */
	unsigned char keys[KEYS_MAX];
	size_t key_count;
	struct buf pending;      /* goes out as the terminal takes it */
	struct buf shown;        /* the frame that stands there once `pending` is out */
	struct buf wanted;       /* the newest, if it came meanwhile */
	bool has_wanted, redraw; /* redraw: nothing of `shown` stands there */
	size_t rows, columns;
};

/* What a handler may touch: it runs in the middle of anything. */
static struct termios before;
static volatile sig_atomic_t has_before, is_open, out_fd;

/* Async-signal-safe. A terminal that is gone, or that somebody has stopped, must not keep us. */
static void
give_back(void)
{
	struct pollfd room = {.fd = (int)out_fd, .events = POLLOUT};

	if (!is_open)
		return;
	is_open = 0;
	if (write(room.fd, LEAVE, sizeof(LEAVE) - 1) != (ssize_t)sizeof(LEAVE) - 1 &&
	    tcflush(room.fd, TCOFLUSH) == 0 && poll(&room, 1, LEAVE_MS) == 1 &&
	    write(room.fd, LEAVE, sizeof(LEAVE) - 1) < 0)
		errno = 0;
	if (has_before)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void
crash(int number)
{
	give_back();
	raise(number); /* SA_RESETHAND: it does what it always does */
}

/* Where something else waits for the crash already, such as a sanitizer, that is left alone. */
static void
watch_crashes(void)
{
	struct sigaction action = {.sa_handler = crash, .sa_flags = (int)SA_RESETHAND}, old;

	for (size_t i = 0; i < CRASHES; i++)
		if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(crashes[i], &action, NULL);
}

static void
enter(struct terminal *t)
{
	struct termios raw;

	/* Who is told twice to go on, or was never asked to stop, has set the modes itself. */
	if (t->keys_on && (is_open || tcgetattr(STDIN_FILENO, &before) == 0)) {
		has_before = 1;
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		is_open = 1;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	is_open = 1;
	buf_clear(&t->pending);
	buf_add_text(&t->pending, ENTER);
	t->redraw = true;
	t->rows = screen_rows();
	t->columns = screen_columns();
}

/* The terminal again, but as a description of our own. */
static int
open_again(void)
{
	char name[128];
	int fd;

	if (ttyname_r(STDOUT_FILENO, name, sizeof(name)) != 0)
		return STDOUT_FILENO;
	fd = open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 ? fd : STDOUT_FILENO;
}

struct terminal *
terminal_open(void)
{
	static bool registered;
	struct terminal *t;

	if (!screen_can_redraw())
		return NULL;
	fflush(stdout);
	t = mem_zalloc(sizeof(*t));
	t->out = open_again();
	out_fd = t->out;
	t->keys_on = isatty(STDIN_FILENO) == 1;
	sigemptyset(&t->set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&t->set, taken[i]);
	sigprocmask(SIG_BLOCK, &t->set, &t->before);
	t->signals = signalfd(-1, &t->set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (!registered)
		atexit(give_back);
	registered = true;
	watch_crashes();
	enter(t);
	return t;
}

void
terminal_close(struct terminal *t)
{
	int number = t->ended_by;

	give_back();
	if (t->signals >= 0)
		close(t->signals);
	if (t->out != STDOUT_FILENO)
		close(t->out);
	buf_free(&t->pending);
	buf_free(&t->shown);
	buf_free(&t->wanted);
	if (number > 0) {
		signal(number, SIG_DFL);
		raise(number);
	}
	sigprocmask(SIG_SETMASK, &t->before, NULL);
	free(t);
}

size_t
terminal_fds(const struct terminal *t, struct pollfd fds[TERMINAL_FDS])
{
	size_t n = 0;

	fds[n++] = (struct pollfd){.fd = t->signals, .events = POLLIN};
	if (t->keys_on && t->key_count < KEYS_MAX)
		fds[n++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	if (t->pending.len > 0)
		fds[n++] = (struct pollfd){.fd = t->out, .events = POLLOUT};
	return n;
}

/* ---- drawing */

/* Cuts off the first line; without its end. */
static size_t
line_length(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);
}

/* Adds what turns `shown` into `wanted`. */
static void
add_difference(struct terminal *t)
{
	const char *old = buf_text(&t->shown), *old_end = old + t->shown.len;
	const char *new = buf_text(&t->wanted), *new_end = new + t->wanted.len;
	size_t row;

	if (t->redraw) {
		buf_add_text(&t->pending, "\033[0m\033[2J");
		old = old_end;
	}
	for (row = 1; row <= t->rows && (new < new_end || old < old_end); row++) {
		size_t old_len = line_length(old, old_end), new_len = line_length(new, new_end);

		/* Erased first: behind a full line the cursor stands on its last character. */
		if (old_len != new_len || memcmp(old, new, new_len) != 0) {
			buf_printf(&t->pending, "\033[%zu;1H\033[K", row);
			buf_add(&t->pending, new, new_len);
		}
		old += old_len + (old + old_len < old_end);
		new += new_len + (new + new_len < new_end);
	}
	t->redraw = false;
}

/* Takes the newest frame, if the one before is out. */
static void
take_wanted(struct terminal *t)
{
	struct buf spare = t->shown;

	if (!t->has_wanted || (t->pending.len > 0 && !t->redraw))
		return;
	t->has_wanted = false;
	add_difference(t);
	t->shown = t->wanted;
	t->wanted = spare;
	buf_clear(&t->wanted);
}

static void
write_pending(struct terminal *t)
{
	size_t at = 0;
	ssize_t n;

	take_wanted(t);
	while (at < t->pending.len) {
		size_t left = t->pending.len - at;
		struct pollfd ready = {.fd = t->out, .events = POLLOUT};

		/* Where it may block, only what a terminal that says so has room for. */
		if (t->out == STDOUT_FILENO && (left = left < PIECE ? left : PIECE) > 0 &&
		    poll(&ready, 1, 0) < 1)
			break;
		n = write(t->out, t->pending.data + at, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			t->ended_by = -1;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (at > 0)
		buf_drop(&t->pending, at);
	if (t->ended_by < 0)
		buf_clear(&t->pending);
	else if (t->pending.len == 0 && t->has_wanted)
		write_pending(t);
}

void
terminal_draw(struct terminal *t, const struct buf *lines)
{
	buf_clear(&t->wanted);
	buf_add(&t->wanted, buf_text(lines), lines->len);
	t->has_wanted = true;
	write_pending(t);
}

/* ---- signals and keys */

/* Stopped like any program, with the terminal as it was; goes on here. */
static void
stop(void)
{
	sigset_t stop_set;

	give_back();
	sigemptyset(&stop_set);
	sigaddset(&stop_set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop_set, NULL);
	sigprocmask(SIG_BLOCK, &stop_set, NULL);
}

/* False: no more signals. */
static bool
take_signal(struct terminal *t, enum terminal_event *event)
{
	struct signalfd_siginfo info;

	if (read(t->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	switch ((int)info.ssi_signo) {
	case SIGTSTP:
		stop();
		/* fall through */
	case SIGCONT: /* whoever stopped us, the terminal was another's meanwhile */
		enter(t);
		*event = TERMINAL_CHANGED;
		break;
	case SIGWINCH:
		t->rows = screen_rows();
		t->columns = screen_columns();
		t->redraw = true;
		*event = TERMINAL_CHANGED;
		break;
	default:
		t->ended_by = (int)info.ssi_signo;
	}
	return true;
}

/* Waits so many milliseconds at most. */
static void
read_keys(struct terminal *t, int wait)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t n;

	if (!t->keys_on || t->key_count >= KEYS_MAX || poll(&input, 1, wait) < 1)
		return;
	n = read(STDIN_FILENO, t->keys + t->key_count, KEYS_MAX - t->key_count);
	if (n > 0)
		t->key_count += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->ended_by = -1;
}

enum terminal_event
terminal_look(struct terminal *t)
{
	enum terminal_event event = TERMINAL_NOTHING;

	while (t->ended_by == 0 && take_signal(t, &event))
		;
	if (t->ended_by == 0)
		read_keys(t, 0);
	if (t->ended_by == 0)
		write_pending(t);
	if (t->ended_by != 0)
		return TERMINAL_ENDED;
	return event == TERMINAL_NOTHING && t->key_count > 0 ? TERMINAL_KEY : event;
}

/* The final byte of a sequence such as ESC [ A or ESC [ 5 ~; 0 for those that mean nothing here. */
static int
name_key(unsigned char final, unsigned char number)
{
	switch (final) {
	case 'A':
		return TERMINAL_KEY_UP;
	case 'B':
		return TERMINAL_KEY_DOWN;
	case '~':
		return number == '5'   ? TERMINAL_KEY_PAGE_UP
		       : number == '6' ? TERMINAL_KEY_PAGE_DOWN
				       : 0;
	default:
		return 0;
	}
}

/* Bytes of the sequence that begins with ESC [ or ESC O; 0 while its end has not come. */
static size_t
sequence_length(const unsigned char *keys, size_t count)
{
	size_t n = 2;

	if (count >= 2 && keys[1] != '[' && keys[1] != 'O')
		return 1;
	while (n < count && (keys[n] < 0x40 || keys[n] > 0x7e))
		n++;
	return n < count ? n + 1 : 0;
}

/* The bytes of the first key, and which it is; 0 means nothing here. */
static size_t
decode_key(struct terminal *t, int *key)
{
	size_t n;

	*key = t->keys[0];
	if (t->keys[0] != ESCAPE)
		return 1;
	n = sequence_length(t->keys, t->key_count);
	/* What a terminal sends for one key comes at once; alone it is the Escape key. */
	if (n == 0) {
		read_keys(t, SEQUENCE_MS);
		n = sequence_length(t->keys, t->key_count);
	}
	if (t->key_count == 1)
		return 1;
	*key = n > 2 ? name_key(t->keys[n - 1], t->keys[2]) : 0;
	return n > 0 ? n : t->key_count;
}

int
terminal_key(struct terminal *t)
{
	int key = 0;

	while (key == 0 && t->key_count > 0) {
		size_t n = decode_key(t, &key);

		t->key_count -= n;
		memmove(t->keys, t->keys + n, t->key_count);
	}
	return key;
}
