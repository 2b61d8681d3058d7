/*
 * Reads passwords. Called by `mailfuse passwd`. The echo is off while somebody types and comes back
 * whatever ends it: a signal is taken note of, the terminal is put right, and then it does what it
 * always does.
 */
#include "cli/ask.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

static const int caught_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

enum { CAUGHT = sizeof(caught_signals) / sizeof(caught_signals[0]) };

static volatile sig_atomic_t caught;

static void
catch_signal(int number)
{
	caught = number;
}

/* True if there is something to read, or the end; the signals of `mask` are only taken here. */
static bool
wait_for_input(const sigset_t *mask)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	while (ppoll(&input, 1, NULL, mask) < 0)
		if (errno != EINTR || caught)
			return false;
	return true;
}

/*
 * A line of standard input without its end; longer ones are cut at one byte more than a password
 * may have. Byte by byte, so that what follows is left to whoever reads on. NULL at the end of the
 * input, or if a signal came.
 */
static char *
read_line(size_t *len, const sigset_t *mask)
{
	char *line = mem_zalloc(ASK_PASSWORD_MAX + 2);
	ssize_t n;
	char c;

	for (*len = 0;;) {
		n = -1;
		if (!wait_for_input(mask))
			break;
		n = read(STDIN_FILENO, &c, 1);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n != 1 || c == '\n')
			break;
		if (*len <= ASK_PASSWORD_MAX)
			line[(*len)++] = c;
	}
	if (!caught && (n == 1 || (n == 0 && *len > 0)))
		return line;
	ask_free(line);
	return NULL;
}

/* The same from a terminal, without echo. */
static char *
read_secret(const char *prompt, size_t *len)
{
	struct sigaction take = {.sa_handler = catch_signal}, old[CAUGHT];
	struct termios shown, hidden;
	sigset_t blocked, mask;
	char *line;
	size_t i;

	sigemptyset(&blocked);
	for (i = 0; i < CAUGHT; i++)
		sigaddset(&blocked, caught_signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	for (i = 0; i < CAUGHT; i++)
		sigaction(caught_signals[i], &take, &old[i]);
	tcgetattr(STDIN_FILENO, &shown);
	hidden = shown;
	hidden.c_lflag = (shown.c_lflag & ~(tcflag_t)ECHO) | ECHONL;
	/* What was typed before the question is not meant as its answer. */
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	fputs(prompt, stderr);
	fflush(stderr);
	line = read_line(len, &mask);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	for (i = 0; i < CAUGHT; i++)
		sigaction(caught_signals[i], &old[i], NULL);
	if (line == NULL)
		fputc('\n', stderr);
	if (caught)
		raise(caught);
	caught = 0;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return line;
}

/* NULL if it may be one. */
static const char *
find_fault(const char *password, size_t len)
{
	size_t i;

	if (len == 0)
		return "an empty password lets everybody in; write a longer one";
	if (len > ASK_PASSWORD_MAX)
		return "the password is longer than 1024 bytes";
	for (i = 0; i < len; i++)
		if ((unsigned char)password[i] < ' ' || password[i] == 0x7f)
			return "the password holds a control character, which most clients cannot "
			       "send; write one without";
	if (!text_is_utf8(password, len))
		return "the password is not UTF-8, as clients send it (RFC 4616); set the "
		       "terminal to UTF-8";
	return NULL;
}

char *
ask_password(const char *what, const char **why)
{
	bool terminal = isatty(STDIN_FILENO) == 1;
	char *prompt = mem_printf("Password for %s: ", what), *first, *second = NULL;
	size_t len = 0, second_len = 0;

	first = terminal ? read_secret(prompt, &len) : read_line(&len, NULL);
	free(prompt);
	*why = NULL;
	if (first == NULL)
		*why = terminal ? "no password was given"
				: "no password on standard input; write it there as one line";
	else
		*why = find_fault(first, len);
	if (*why == NULL && terminal) {
		second = read_secret("The same again: ", &second_len);
		if (second == NULL || second_len != len || memcmp(first, second, len) != 0)
			*why = "the two passwords are not the same";
		ask_free(second);
	}
	if (*why == NULL)
		return first;
	ask_free(first);
	return NULL;
}

void
ask_free(char *password)
{
	if (password == NULL)
		return;
	explicit_bzero(password, ASK_PASSWORD_MAX + 2);
	free(password);
}
