/*
 * From libConfuse's tree to struct config, row by row of the table of settings. Called on the main
 * thread at the start, by -t and at a reload. The config belongs to the caller, the rest is freed
 * here.
 */
#include "config/load.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/options.h"
#include "config/problem.h"
#include "config/text.h"
#include "config/value.h"
#include "mail/address.h"

enum { KIND_ROWS_MAX = 32, FILE_BYTES_MAX = 4000000 };

struct loader {
	struct config *config;
	struct problems *problems;
	struct check_scope scope;
};

/* ---- libConfuse */

static cfg_opt_t *
build_options(const char *section)
{
	cfg_opt_t *out = mem_zalloc((KIND_ROWS_MAX + 1) * sizeof(*out));
	size_t n = 0;

	for (const struct option *row = options_table(); row->name != NULL; row++) {
		if (strcmp(row->section, section) != 0)
			continue;
		if (n == KIND_ROWS_MAX)
			panic("config: more than %d settings in one section", KIND_ROWS_MAX);
		cfg_opt_t *o = &out[n++];
		o->name = row->name;
		o->flags = CFGF_NODEFAULT;
		o->type = CFGT_STR;
		if (row->type == OPTION_SECTION) {
			o->type = CFGT_SEC;
			o->flags = CFGF_MULTI;
			if ((row->flags & OPTION_TITLE) != 0)
				o->flags |= CFGF_TITLE | CFGF_NO_TITLE_DUPES;
			o->subopts = build_options(row->name);
		} else if (options_is_list(row)) {
			o->flags |= CFGF_LIST;
		}
	}
	return out;
}

static void
free_options(cfg_opt_t *options)
{
	for (cfg_opt_t *o = options; o->name != NULL; o++)
		if (o->subopts != NULL)
			free_options(o->subopts);
	free(options);
}

/* libConfuse hands its error function no context; it has one scanner for the process anyway. */
static struct problems *confuse_problems;

static void __attribute__((format(printf, 2, 0)))
confuse_failed(cfg_t *cfg, const char *format, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), format, ap);
	problem_add(confuse_problems, cfg == NULL ? 0 : cfg->line, "%s", log_safe(text));
}

/* NULL after a syntax error, which was reported. */
static cfg_t *
confuse_parse(const char *text, struct problems *problems)
{
	cfg_opt_t *options = build_options("");
	cfg_t *cfg = cfg_init(options, CFGF_NONE);

	free_options(options);
	if (cfg == NULL)
		fatal("config: out of memory");
	confuse_problems = problems;
	cfg_set_error_function(cfg, confuse_failed);
	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS) {
		/* It may have stumbled where text.c has said more already. */
		if (problems->count == 0)
			problem_add(problems, 0, "cannot be read; check its syntax");
		cfg_free(cfg);
		cfg = NULL;
	}
	confuse_problems = NULL;
	return cfg;
}

/* ---- sections */

static void
load_values(struct loader *l, cfg_t *cfg, const struct text_section *at,
	    const struct value_place *place)
{
	const char *name = place->row->name;
	bool unread = !l->scope.secrets && (place->row->flags & OPTION_SECRET) != 0;
	unsigned n = cfg_size(cfg, name);
	struct buf why = {0};

	for (unsigned i = 0; i < n; i++) {
		const char *text = cfg_getnstr(cfg, name, i);

		if (unread && text != NULL && strncmp(text, "file:", 5) == 0)
			continue;
		if (!value_add(place, text == NULL ? "" : text, &why))
			problem_add(l->problems, text_value_line(at, name, i), "%s",
				    buf_text(&why));
		buf_clear(&why);
	}
	if (n == 0 && place->row->type == OPTION_SET)
		problem_add(l->problems, text_line(at, name), "%s is empty; name at least one",
			    name);
	buf_free(&why);
}

/* cfg and at are NULL for an object that no file speaks of. */
static void
load_section(struct loader *l, cfg_t *cfg, const struct text_section *at, const char *kind,
	     void *object)
{
	struct buf why = {0};

	for (const struct option *row = options_table(); row->name != NULL; row++) {
		struct value_place place = {row, object, l->scope.files};

		if (strcmp(row->section, kind) != 0 || row->type == OPTION_SECTION)
			continue;
		value_reset(&place);
		if (cfg != NULL && text_is_set(at, row->name)) {
			load_values(l, cfg, at, &place);
		} else if (row->def[0] != '\0') {
			if (!value_add_default(&place, &why))
				panic("config: bad default: %s", buf_text(&why));
		} else if ((row->flags & OPTION_REQUIRED) != 0 && cfg != NULL) {
			problem_add(l->problems, at->line, "%s%s%s has no %s; add %s = ...", kind,
				    at->title[0] != '\0' ? " " : "", at->title, row->name,
				    row->name);
		} else if ((row->flags & OPTION_MAY_MISS) != 0) {
			value_free(&place);
		}
	}
	buf_free(&why);
}

/* Every section of a kind into a new array. */
static void *
load_array(struct loader *l, cfg_t *cfg, const struct text_section *at, const char *kind,
	   size_t size, size_t *count)
{
	size_t n = cfg_size(cfg, kind);
	char *array = mem_zalloc((n + 1) * size); /* one more: for a built-in */

	for (size_t i = 0; i < n; i++)
		load_section(l, cfg_getnsec(cfg, kind, (unsigned)i), text_child(at, kind, i), kind,
			     array + i * size);
	*count = n;
	return array;
}

static void
load_environment(struct loader *l, cfg_t *cfg, const struct text_section *at,
		 struct config_environment *e)
{
	e->name = mem_strdup(at->title);
	e->matches = load_array(l, cfg, at, "match", sizeof(*e->matches), &e->match_count);
	e->bursts = load_array(l, cfg, at, "burst", sizeof(*e->bursts), &e->burst_count);
	for (size_t i = 0; i < e->burst_count; i++) {
		const struct text_section *b = text_child(at, "burst", i);

		e->bursts[i].name = mem_strdup(b->title);
		if (e->bursts[i].head > 0 && !text_is_set(b, "settle"))
			e->bursts[i].settle = 5 * CLOCK_SECOND;
	}
	e->contents = load_array(l, cfg, at, "content", sizeof(*e->contents), &e->content_count);
	for (size_t i = 0; i < e->content_count; i++) {
		struct config_content *c = &e->contents[i];

		c->name = mem_strdup(text_child(at, "content", i)->title);
		if (c->above_window == 0)
			c->above_window = 10 * CLOCK_MINUTE;
	}
}

static void
load_sections(struct loader *l, cfg_t *cfg, const struct text_section *at)
{
	struct config *c = l->config;

	c->listeners =
	    load_array(l, cfg, at, "listener", sizeof(*c->listeners), &c->listener_count);
	for (size_t i = 0; i < c->listener_count; i++) {
		c->listeners[i].name = mem_strdup(text_child(at, "listener", i)->title);
		c->listeners[i].line = text_child(at, "listener", i)->line;
	}
	c->upstreams =
	    load_array(l, cfg, at, "upstream", sizeof(*c->upstreams), &c->upstream_count);
	for (size_t i = 0; i < c->upstream_count; i++) {
		c->upstreams[i].name = mem_strdup(text_child(at, "upstream", i)->title);
		c->upstreams[i].line = text_child(at, "upstream", i)->line;
	}
	c->alerts = load_array(l, cfg, at, "alert", sizeof(*c->alerts), &c->alert_count);
	for (size_t i = 0; i < c->alert_count; i++)
		c->alerts[i].name = mem_strdup(text_child(at, "alert", i)->title);
	c->environments =
	    load_array(l, cfg, at, "environment", sizeof(*c->environments), &c->environment_count);
	for (size_t i = 0; i < c->environment_count; i++)
		load_environment(l, cfg_getnsec(cfg, "environment", (unsigned)i),
				 text_child(at, "environment", i), &c->environments[i]);
}

/* A section of which there is at most one; its defaults where there is none. */
static bool
load_once(struct loader *l, cfg_t *cfg, const struct text_section *at, const char *kind,
	  void *object)
{
	bool set = cfg_size(cfg, kind) > 0;

	load_section(l, set ? cfg_getnsec(cfg, kind, 0) : NULL, text_child(at, kind, 0), kind,
		     object);
	return set;
}

static void
load_singles(struct loader *l, cfg_t *cfg, const struct text_section *at)
{
	struct config *c = l->config;
	char *url;
	size_t len;

	load_once(l, cfg, at, "approval", &c->approval);
	c->access.set = load_once(l, cfg, at, "access", &c->access);
	c->http.set = load_once(l, cfg, at, "http", &c->http);
	if (c->http.set)
		c->http.line = text_child(at, "http", 0)->line;
	/* Links are made by adding a path. */
	url = c->http.url;
	len = strlen(url);
	if (len > 1 && url[len - 1] == '/' && url[len - 2] != '/')
		url[len - 1] = '\0';
}

/* ---- what a file leaves open */

/* So that the gate protects out of the box. mailfuse.conf(5) and README.md tell of them. */
static const struct builtin_burst {
	bool production;
	const char *name;
	struct config_burst rule;
} builtin_bursts[] = {
    {true,
     "volume",
     {.limit = 500,
      .window = 10 * CLOCK_MINUTE,
      .per = CONFIG_PER_SOURCE | CONFIG_PER_SUBJECT,
      .head = 10,
      .head_window = 10 * CLOCK_SECOND,
      .settle = 5 * CLOCK_SECOND,
      .cooldown = CLOCK_HOUR}},
    {true,
     "repeat",
     {.limit = 20,
      .window = CLOCK_HOUR,
      .per = CONFIG_PER_RECIPIENT | CONFIG_PER_SUBJECT,
      .cooldown = CLOCK_HOUR}},
    {false,
     "volume",
     {.limit = 50,
      .window = 10 * CLOCK_MINUTE,
      .per = CONFIG_PER_ENVIRONMENT,
      .cooldown = CLOCK_HOUR}},
};

static void
complete_bursts(struct config_environment *e)
{
	if (e->burst_count > 0)
		return;
	for (size_t i = 0; i < sizeof(builtin_bursts) / sizeof(builtin_bursts[0]); i++) {
		if (builtin_bursts[i].production != e->production)
			continue;
		e->bursts = mem_resize_array(e->bursts, e->burst_count + 1, sizeof(*e->bursts));
		e->bursts[e->burst_count] = builtin_bursts[i].rule;
		e->bursts[e->burst_count++].name = mem_strdup(builtin_bursts[i].name);
	}
}

/* `none` captures (""); not set is the only upstream, or NULL where none is defined. */
static void
complete_upstream(const struct config *c, struct config_environment *e)
{
	const char *name = e->upstream;

	if (strcmp(name, "none") == 0)
		name = "";
	else if (name[0] == '\0')
		name = c->upstream_count == 1 ? c->upstreams[0].name : NULL;
	else
		return;
	free(e->upstream);
	e->upstream = name == NULL ? NULL : mem_strdup(name);
}

static void
complete_environment(const struct config *c, struct config_environment *e)
{
	/* A production gate is there to reach everybody; elsewhere nobody unless the file says so.
	 */
	if (e->allow == NULL) {
		e->allow = value_list_new();
		if (e->production)
			value_list_add(&e->allow, "*");
	}
	complete_bursts(e);
	complete_upstream(c, e);
}

/* One PEM file often holds both. */
static void
complete_listener(struct config_listener *l)
{
	if (l->key[0] != '\0')
		return;
	free(l->key);
	l->key = mem_strdup(l->certificate);
}

/* As it may stand in a header and an envelope: domains as A-labels. */
static void
complete_mailbox(char **text)
{
	struct arena arena = {0};
	struct address address;

	if (address_parse(*text, &arena, &address) == NULL) {
		free(*text);
		*text = mem_strdup(address.text);
	}
	arena_free(&arena);
}

/* A channel's mail is queued under an environment of its own, which nobody's mail matches and no
 * rule covers, and which reaches its addresses only. */
static void
complete_email(struct loader *l, struct config_alert *a, struct config_environment *e)
{
	struct config *c = l->config;

	if (a->upstream[0] == '\0') {
		free(a->upstream);
		a->upstream = mem_strdup(c->upstreams[0].name);
	}
	if (a->from[0] == '\0') {
		free(a->from);
		a->from = mem_printf("mailfuse@%s", c->hostname);
	}
	complete_mailbox(&a->from);
	load_section(l, NULL, NULL, "environment", e);
	e->name = mem_printf("%s%s", CONFIG_ALERTS, a->name);
	free(e->upstream);
	e->upstream = mem_strdup(a->upstream);
	e->allow = value_list_new();
	for (size_t i = 0; a->to[i] != NULL; i++) {
		complete_mailbox(&a->to[i]);
		value_list_add(&e->allow, a->to[i]);
	}
}

/* Before the built-in `unknown`, which stays the last. */
static void
complete_alerts(struct loader *l)
{
	struct config *c = l->config;
	struct config_environment unknown = c->environments[c->environment_count - 1];

	for (size_t i = 0; i < c->alert_count; i++) {
		/* Programs are told of each. */
		if (c->alerts[i].type == CONFIG_ALERT_WEBHOOK ||
		    c->alerts[i].type == CONFIG_ALERT_EXEC)
			c->alerts[i].per_hour = 0;
		if (c->alerts[i].type != CONFIG_ALERT_EMAIL)
			continue;
		c->environments = mem_resize_array(c->environments, c->environment_count + 1,
						   sizeof(*c->environments));
		c->environments[c->environment_count - 1] = (struct config_environment){0};
		complete_email(l, &c->alerts[i], &c->environments[c->environment_count - 1]);
		c->environments[c->environment_count++] = unknown;
	}
}

static void
complete_hostname(struct config *c)
{
	char name[256] = "";

	if (c->hostname[0] != '\0')
		return;
	if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0' || !check_is_domain(name))
		snprintf(name, sizeof(name), "localhost");
	free(c->hostname);
	c->hostname = mem_strdup(name);
}

static void
complete(struct loader *l)
{
	struct config *c = l->config;
	struct config_environment *unknown = &c->environments[c->environment_count];

	complete_hostname(c);
	if (c->listener_count == 0) {
		load_section(l, NULL, NULL, "listener", &c->listeners[0]);
		c->listeners[0].name = mem_strdup("default");
		free(c->listeners[0].host);
		c->listeners[0].host = mem_strdup("127.0.0.1");
		c->listeners[0].port = 2525;
		c->listener_count = 1;
	}
	for (size_t i = 0; i < c->listener_count; i++)
		complete_listener(&c->listeners[i]);
	/* Everything of a source that matches nothing is held: others = hold, nobody allowed. */
	load_section(l, NULL, NULL, "environment", unknown);
	unknown->name = mem_strdup("unknown");
	c->environment_count++;
	for (size_t i = 0; i < c->environment_count; i++)
		complete_environment(c, &c->environments[i]);
	complete_alerts(l);
}

/* ---- the whole */

static void
load_all(struct loader *l, char *text)
{
	bool broken;
	struct text_section *at = text_scan(text, l->scope.secrets, l->problems, &broken);
	cfg_t *cfg = broken ? NULL : confuse_parse(text, l->problems);

	if (cfg != NULL) {
		load_section(l, cfg, at, "", l->config);
		load_sections(l, cfg, at);
		load_singles(l, cfg, at);
		check_config(l->config, at, &l->scope, l->problems);
		if (l->problems->count == 0)
			complete(l);
		cfg_free(cfg);
	}
	text_free(at);
}

static struct config *
load_file(char *text, const char *path, struct check_scope scope, struct buf *errors)
{
	struct problems problems = {0};
	struct loader l = {mem_zalloc(sizeof(struct config)), &problems, scope};

	l.config->refs = 1;
	l.config->path = mem_strdup(path);
	load_all(&l, text);
	if (problems.count > 0) {
		config_unref(l.config);
		l.config = NULL;
	}
	problem_print(&problems, path, errors);
	problem_free(&problems);
	return l.config;
}

struct config *
load_text(char *text, const char *path, bool files, struct buf *errors)
{
	return load_file(text, path, (struct check_scope){.files = files, .secrets = true}, errors);
}

/* Its content and mode (0 for a pipe); NULL and a line in `errors` if there is none to use. */
static char *
read_file(const char *path, mode_t *mode, struct buf *errors)
{
	struct buf text = {0};
	struct stat st;
	ssize_t n;
	bool ok = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) != 0) {
		buf_printf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode)) {
		buf_printf(errors, "%s: is no file; give the path of a configuration\n", path);
		goto out;
	}
	if (S_ISREG(st.st_mode))
		*mode = st.st_mode;
	if ((*mode & S_IWOTH) != 0) {
		buf_printf(errors, "%s: every user can write it; run chmod 640 %s\n", path, path);
		goto out;
	}
	do {
		buf_reserve(&text, 65536);
		n = read(fd, text.data + text.len, 65536);
		if (n > 0) {
			text.len += (size_t)n;
			text.data[text.len] = '\0';
		}
	} while (n > 0 ? text.len <= FILE_BYTES_MAX : n < 0 && errno == EINTR);
	if (n < 0)
		buf_printf(errors, "%s: cannot be read: %s\n", path, strerror(errno));
	else if (text.len > FILE_BYTES_MAX)
		buf_printf(errors, "%s: is larger than %d bytes; is it a configuration?\n", path,
			   FILE_BYTES_MAX);
	else if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		buf_printf(errors, "%s: has a NUL byte in it; is it a configuration?\n", path);
	else
		ok = true;
out:
	if (fd >= 0)
		close(fd);
	if (ok && text.len > 0)
		return buf_take(&text);
	buf_free(&text);
	return ok ? mem_strdup("") : NULL;
}

static struct config *
load_path(const char *path, struct check_scope scope, struct buf *errors)
{
	char *text = path == NULL ? mem_strdup("") : read_file(path, &scope.mode, errors);
	struct config *c = NULL;

	if (text != NULL)
		c = load_file(text, path == NULL ? "" : path, scope, errors);
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
	return c;
}

struct config *
config_load(const char *path, struct buf *errors)
{
	return load_path(path, (struct check_scope){.files = true, .secrets = true}, errors);
}

struct config *
config_load_policy(const char *path, struct buf *errors)
{
	return load_path(path, (struct check_scope){.files = true}, errors);
}

const char *
config_library_version(void)
{
	return confuse_version;
}
