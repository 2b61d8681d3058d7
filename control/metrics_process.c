/*
 * process_*, under the names that Prometheus's own clients use. What the system does not say is
 * left out. Cost: a look into /proc/self/fd, which has an entry for each connection.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/metrics_parts.h"

static void
add_gauge(struct exposition *x, const char *name, const char *help, int64_t value)
{
	exposition_family(x, name, EXPOSITION_GAUGE, help);
	exposition_count(x, value, NULL);
}

static void
add_cpu(struct exposition *x)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		return;
	exposition_family(x, "process_cpu_seconds_total", EXPOSITION_COUNTER,
			  "Processor time of all threads, user and system.");
	exposition_seconds(x, (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec / 1000, NULL);
}

/* proc_pid_statm(5): pages of all and of what is in memory. */
static void
add_memory(struct exposition *x)
{
	FILE *file = fopen("/proc/self/statm", "re");
	const int64_t page = sysconf(_SC_PAGESIZE);
	long long all, resident;

	if (file == NULL)
		return;
	if (fscanf(file, "%lld %lld", &all, &resident) == 2) {
		add_gauge(x, "process_virtual_memory_bytes", "Size of the address space.",
			  all * page);
		add_gauge(x, "process_resident_memory_bytes", "What of it is in memory.",
			  resident * page);
	}
	fclose(file);
}

static void
add_descriptors(struct exposition *x)
{
	DIR *directory = opendir("/proc/self/fd");
	struct rlimit limit;
	int64_t count = 0;

	if (directory != NULL) {
		/* But ".", "..", and the directory's own. */
		while (readdir(directory) != NULL)
			count++;
		closedir(directory);
		add_gauge(x, "process_open_fds", "Open file descriptors.", count - 3);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		add_gauge(x, "process_max_fds", "The most that may be open.",
			  (int64_t)limit.rlim_cur);
}

void
metrics_add_process(struct exposition *x, int64_t started_at)
{
	add_cpu(x);
	add_memory(x);
	add_descriptors(x);
	exposition_family(x, "process_start_time_seconds", EXPOSITION_GAUGE,
			  "When the process started, seconds since 1970.");
	exposition_seconds(x, started_at, NULL);
}
