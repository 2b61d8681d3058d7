/*
 * The exec channel: runs the configured program with the webhook's JSON on its stdin and a clean
 * environment; no shell. Called by outbox.c, on the main loop; a run is freed when the program
 * has ended, or was killed by the timeout or a cancel, and has been reaped.
 *
 * Its end is seen through a pidfd, so no SIGCHLD handler is needed and no other child is touched.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alert/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Of the text in MAILFUSE_TEXT: one string of the environment may not pass 128 KB. */
enum { ENVIRONMENT_TEXT_MAX = 8000, ENVIRONMENT_ENTRIES = 9 };
/* How often to look for the program's end where the kernel has no pidfd. */
#define POLL_INTERVAL (CLOCK_SECOND / 20)

struct exec_run {
	struct loop *loop;
	pid_t pid;
	int pidfd, input; /* -1 = closed */
	struct event *ended, *input_ready;
	struct loop_timer *timeout;
	struct buf body;
	size_t written;
	bool timed_out;
	channel_done *done;
	void *context;
};

static void
run_close_input(struct exec_run *r)
{
	if (r->input_ready != NULL)
		event_free(r->input_ready);
	r->input_ready = NULL;
	if (r->input >= 0)
		close(r->input);
	r->input = -1;
}

static void
run_free(struct exec_run *r)
{
	run_close_input(r);
	if (r->ended != NULL)
		event_free(r->ended);
	if (r->timeout != NULL)
		loop_timer_free(r->timeout);
	if (r->pidfd >= 0)
		close(r->pidfd);
	buf_free(&r->body);
	free(r);
}

/* The whole group: the program may have started others. */
static void
run_kill(struct exec_run *r)
{
	if (kill(-r->pid, SIGKILL) != 0)
		kill(r->pid, SIGKILL);
}

static void
run_finish(struct exec_run *r, const siginfo_t *info)
{
	channel_done *done = r->done;
	void *context = r->context;
	bool ok = false;
	char why[120];

	if (r->timed_out) {
		snprintf(why, sizeof(why), "the program took too long and was killed");
	} else if (info->si_code == CLD_EXITED) {
		ok = info->si_status == 0;
		snprintf(why, sizeof(why), "the program ended with exit code %d", info->si_status);
	} else {
		snprintf(why, sizeof(why), "the program was ended by signal %d", info->si_status);
	}
	run_free(r);
	done(context, &(struct channel_end){.ok = ok, .why = why});
}

static void
run_watch_end(struct exec_run *r)
{
	const struct timeval poll = {0, POLL_INTERVAL};

	if (event_add(r->ended, r->pidfd >= 0 ? NULL : &poll) != 0)
		fatal("cannot watch a child process");
}

static void
run_ended(evutil_socket_t fd, short what, void *context)
{
	struct exec_run *r = context;
	siginfo_t info = {0};

	(void)fd;
	(void)what;
	if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG) != 0 && errno != EINTR) {
		info.si_code = CLD_KILLED; /* reaped by somebody else: how it ended is lost */
		run_finish(r, &info);
	} else if (info.si_pid == 0) {
		run_watch_end(r);
	} else {
		run_finish(r, &info);
	}
}

static void
run_timed_out(void *context)
{
	struct exec_run *r = context;

	r->timed_out = true;
	run_kill(r);
}

/* A program that does not read its input is no error: EPIPE just ends the writing. */
static void
run_write(evutil_socket_t fd, short what, void *context)
{
	struct exec_run *r = context;

	(void)what;
	while (r->written < r->body.len) {
		ssize_t n = write(fd, r->body.data + r->written, r->body.len - r->written);

		if (n > 0)
			r->written += (size_t)n;
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			return;
		else
			break;
	}
	run_close_input(r);
}

/* ---- start */

static char **
make_environment(const struct store_alert *a)
{
	char batch[32] = "";
	char **e = mem_zalloc(ENVIRONMENT_ENTRIES * sizeof(*e));

	if (a->batch != 0)
		snprintf(batch, sizeof(batch), "B%" PRId64, a->batch);
	e[0] = mem_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	e[1] = mem_strdup("HOME=/");
	e[2] = mem_strdup("LANG=C.UTF-8");
	e[3] = mem_printf("MAILFUSE_EVENT=%s", a->event);
	e[4] = mem_printf("MAILFUSE_BATCH=%s", batch);
	e[5] = mem_printf("MAILFUSE_ENVIRONMENT=%s", a->environment);
	e[6] = mem_printf("MAILFUSE_TEXT=%.*s", ENVIRONMENT_TEXT_MAX, a->text);
	return e;
}

static void
free_environment(char **e)
{
	for (size_t i = 0; e[i] != NULL; i++)
		free(e[i]);
	free(e);
}

/* stdin from the pipe, stdout and stderr nowhere, nothing else open, default signals, own group. */
static int
spawn(pid_t *pid, int input, char **command, char **environment)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int error;

	sigfillset(&all);
	sigemptyset(&none);
	if (posix_spawn_file_actions_init(&files) != 0 || posix_spawnattr_init(&attributes) != 0)
		fatal("out of memory");
	error = posix_spawn_file_actions_adddup2(&files, input, 0);
	if (error == 0)
		error = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	if (error == 0)
		error = posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	if (error == 0)
		error = posix_spawn_file_actions_addchdir_np(&files, "/");
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(&files, 3);
#endif
	if (error == 0)
		error = posix_spawnattr_setsigdefault(&attributes, &all);
	if (error == 0)
		error = posix_spawnattr_setsigmask(&attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setpgroup(&attributes, 0);
	if (error == 0)
		error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF |
								  POSIX_SPAWN_SETSIGMASK |
								  POSIX_SPAWN_SETPGROUP);
	if (error == 0)
		error = posix_spawn(pid, command[0], &files, &attributes, command, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return error;
}

static void
run_watch(struct exec_run *r, int64_t timeout)
{
	struct event_base *base = loop_base(r->loop);

	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0); /* close-on-exec by itself */
	r->ended = event_new(base, r->pidfd, r->pidfd >= 0 ? EV_READ : 0, run_ended, r);
	r->input_ready = event_new(base, r->input, EV_WRITE | EV_PERSIST, run_write, r);
	r->timeout = loop_timer_new(r->loop, run_timed_out, r);
	if (r->ended == NULL || r->input_ready == NULL || event_add(r->input_ready, NULL) != 0)
		fatal("cannot watch a child process");
	run_watch_end(r);
	loop_timer_set(r->timeout, timeout);
}

static void *
exec_start(const struct channel_services *services, const struct config_alert *channel,
	   const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct exec_run *r = NULL;
	char **environment;
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC) != 0) {
		buf_printf(why, "cannot make a pipe: %s", strerror(errno));
		return NULL;
	}
	r = mem_zalloc(sizeof(*r));
	r->loop = services->loop;
	r->done = done;
	r->context = context;
	r->pidfd = -1;
	r->input = ends[1];
	buf_add(&r->body, note->json, note->json_len);
	environment = make_environment(note->alert);
	error = fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0
		    ? errno
		    : spawn(&r->pid, ends[0], channel->command, environment);
	free_environment(environment);
	close(ends[0]);
	if (error != 0) {
		buf_printf(why, "cannot run %s: %s", log_safe(channel->command[0]),
			   strerror(error));
		run_free(r);
		return NULL;
	}
	run_watch(r, channel->timeout);
	return r;
}

/* Killed, and reaped before this returns: SIGKILL leaves nothing to wait for. */
static void
exec_cancel(void *attempt)
{
	struct exec_run *r = attempt;
	siginfo_t info;

	run_kill(r);
	while (waitid(P_PID, (id_t)r->pid, &info, WEXITED) != 0 && errno == EINTR)
		;
	run_free(r);
}

const struct channel_type channel_exec = {exec_start, exec_cancel};
