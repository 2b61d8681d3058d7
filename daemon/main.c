/*
 * mailfused: options, then daemon_run(). See man/mailfused.8.
 */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/access.h"
#include "control/assets.h"
#include "daemon/daemon.h"
#include "filters/pattern.h"
#include "mail/mime.h"

static const char usage[] = "usage: mailfused [-c FILE] [-d] [-t | -V | --help-config]\n"
			    "  -c FILE        configuration (default " SYSCONFDIR
			    "/mailfuse/mailfuse.conf, if it is there)\n"
			    "  -t             check the configuration, then exit\n"
			    "  -d             log more\n"
			    "  -V             print versions, then exit\n"
			    "  --help-config  print every setting with its default, then exit\n";

struct options {
	const char *path; /* NULL: built-in defaults */
	bool path_given, check, version, document, debug;
};

/* 0 to go on, else the exit code + 1. */
static int
read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {"help-config", no_argument, NULL, 'H'},
					      {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "c:dthV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->path = optarg;
			o->path_given = true;
			break;
		case 'd':
			o->debug = true;
			break;
		case 't':
			o->check = true;
			break;
		case 'V':
			o->version = true;
			break;
		case 'H':
			o->document = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			fputs(usage, stderr);
			return 3;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "mailfused: %s is no option\n%s", argv[optind], usage);
		return 3;
	}
	return 0;
}

static void
print_versions(void)
{
	printf("mailfused %s\nlibevent %s\nOpenSSL %s\nSQLite %s\nGMime %s\nPCRE2 %s\nlibConfuse "
	       "%s\njansson "
	       "%s\n%s\nconsole: %s\n",
	       PACKAGE_VERSION, loop_library_version(), tls_library_version(),
	       store_library_version(), mime_library_version(), pattern_library_version(),
	       config_library_version(), control_library_version(), alert_library_version(),
	       console_asset_count > 0 ? "yes" : "no");
}

static int
print_document(void)
{
	struct buf text = {0};

	config_document(&text);
	fputs(buf_text(&text), stdout);
	buf_free(&text);
	return 0;
}

/* The file that is read where none is named; NULL only if there is none: one that may not be read
 * is an error, so that nobody believes in a policy that is not in force. */
static const char *
default_path(void)
{
	static const char path[] = SYSCONFDIR "/mailfuse/mailfuse.conf";

	return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR) ? path : NULL;
}

/* From the root, so that status and log name a file that can be found. */
static char *
absolute_path(const char *path)
{
	struct buf text = {0};
	char *here = path[0] == '/' ? NULL : getcwd(NULL, 0), *result;

	buf_printf(&text, "%s%s%s", here != NULL ? here : "", here != NULL ? "/" : "", path);
	result = mem_strdup(buf_text(&text));
	free(here);
	buf_free(&text);
	return result;
}

/* Each connection is a file, and the usual soft limit of 1024 is less than max_connections. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warn("- files.limit error=\"%s\"", strerror(errno));
}

/* What is in the files is correct; whether the user is there is found at the start otherwise. */
static int
check_done(const struct options *o, struct policy *policy, struct keyring *keys)
{
	const char *path = o->path != NULL ? o->path
					   : "no " SYSCONFDIR "/mailfuse/mailfuse.conf, so the "
					     "built-in configuration";
	struct buf error = {0}, names = {0};
	bool ok = privileges_check_user(policy_config(policy), &error);

	access_check_names(policy_config(policy), &names);
	for (const char *line = buf_text(&names); *line != '\0'; line += strcspn(line, "\n") + 1)
		fprintf(stderr, "%s: %.*s\n", path, (int)strcspn(line, "\n"), line);
	buf_free(&names);
	if (ok)
		printf("%s: ok\n", path);
	else
		fprintf(stderr, "%s: %s\n", path, buf_text(&error));
	buf_free(&error);
	policy_unref(policy);
	keyring_unref(keys);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	struct buf errors = {0};
	struct policy *policy;
	struct keyring *keys;
	char *path = NULL;
	int code = read_options(argc, argv, &o);

	if (code != 0)
		return code - 1;
	privileges_limit();
	setlocale(LC_CTYPE, "C.UTF-8");
	mime_init();
	if (o.version) {
		print_versions();
		return 0;
	}
	if (o.document)
		return print_document();
	if (!o.path_given)
		o.path = default_path();
	if (o.path != NULL && !o.check)
		o.path = path = absolute_path(o.path);
	policy = daemon_read_policy(o.path, &keys, &errors);
	if (policy == NULL) {
		fprintf(stderr, "%s", buf_text(&errors));
		if (errors.len > 0 && errors.data[errors.len - 1] != '\n')
			fputc('\n', stderr);
		buf_free(&errors);
		free(path);
		return 1;
	}
	buf_free(&errors);
	if (o.check)
		return check_done(&o, policy, keys);
	log_open(policy_config(policy)->log == CONFIG_LOG_SYSLOG ? LOG_TO_SYSLOG : LOG_TO_STDERR,
		 "mailfused");
	log_set_debug(o.debug);
	raise_file_limit();
	code = daemon_run(o.path, policy, keys);
	free(path);
	return code;
}
