/*
 * A pager between stdout and the terminal. Called by the verbs that print long lists, when all that
 * is asked for is there: whoever leaves the pager early cuts nothing short but reading. One at a
 * time, one thread.
 */
#include "cli/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/screen.h"

enum { WORDS_MAX = 16 };

extern char **environ;

static pid_t pager;
static int terminal = -1; /* what stdout was */
static struct sigaction old_int, old_quit, old_pipe;

/* True for a command that needs a shell to be understood. */
static bool
needs_shell(const char *text)
{
	return strpbrk(text, "|&;<>()$`\\\"'*?[#~%!{}\n") != NULL;
}

/* Its words; `text` is cut up. */
static void
split_words(char *text, char *words[WORDS_MAX + 1])
{
	size_t n = 0;
	char *rest = text, *word;

	while (n < WORDS_MAX && (word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0')
			words[n++] = word;
	words[n] = NULL;
}

/*
 * Less and lv show colours only where they are told to. Under sudo a pager's commands would be
 * root's: less then has no shell and no editor (LESSSECURE).
 */
static void
set_environment(void)
{
	const char *less = getenv("LESS");
	char *colours = mem_printf("-R %s", less != NULL ? less : "-FX");

	setenv("LESS", colours, 1);
	setenv("LV", "-c", 0);
	free(colours);
	if (getenv("SUDO_UID") != NULL)
		setenv("LESSSECURE", "1", 1);
}

/* The pager sees the terminal's signals as always. */
static int
spawn_pager(const char *text, int input)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *copy = mem_strdup(text), *words[WORDS_MAX + 1];
	char shell[] = "sh", option[] = "-c";
	sigset_t set;
	int error;

	set_environment();
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &set);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	if (needs_shell(text)) {
		words[0] = shell;
		words[1] = option;
		words[2] = copy;
		words[3] = NULL;
	} else {
		split_words(copy, words);
	}
	error = words[0] == NULL
		    ? ENOENT
		    : posix_spawnp(&pager, words[0], &actions, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(copy);
	return error;
}

/* Ctrl-C is the pager's while it is there; that it was left early is no error. */
static void
take_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &ignore, &old_int);
	sigaction(SIGQUIT, &ignore, &old_quit);
	sigaction(SIGPIPE, &ignore, &old_pipe);
}

static void
give_signals_back(void)
{
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	sigaction(SIGPIPE, &old_pipe, NULL);
}

void
pager_start(const struct command *c, size_t lines)
{
	const char *text = getenv("PAGER");
	int ends[2];

	if (pager != 0 || c->json || !screen_can_redraw() || isatty(STDIN_FILENO) != 1 ||
	    lines < screen_rows())
		return;
	if (text == NULL)
		text = "less -FRX";
	/* PAGER= and PAGER=cat say that none is wanted. */
	if (text[strspn(text, " \t")] == '\0' || strcmp(text, "cat") == 0)
		return;
	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	take_signals();
	if (terminal < 0 || spawn_pager(text, ends[0]) != 0) {
		pager = 0;
		give_signals_back();
		close(ends[1]);
		if (terminal >= 0)
			close(terminal);
	} else {
		screen_set_terminal(terminal);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[1]);
	}
	close(ends[0]);
}

void
pager_finish(void)
{
	int status;

	if (pager == 0)
		return;
	if (fflush(stdout) != 0 && errno == EPIPE)
		clearerr(stdout);
	dup2(terminal, STDOUT_FILENO);
	while (waitpid(pager, &status, 0) < 0 && errno == EINTR)
		;
	pager = 0;
	screen_set_terminal(STDOUT_FILENO);
	close(terminal);
	give_signals_back();
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		command_note("The pager ended with %d: something may be missing above. PAGER=cat "
			     "goes without one.",
			     WEXITSTATUS(status));
}
