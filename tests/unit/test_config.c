/*
 * The configuration: what a file may say and what becomes of it, and for every mistake the exact
 * line and words a person gets to read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/load.h"
#include "config/options.h"
#include "tests/unit/config_dump.h"

#ifndef LOCALSTATEDIR
#define LOCALSTATEDIR "/var"
#endif

#define UP "upstream \"u\" { address = \"mx.example.com:25\" }\n"
#define HERE "match { network = {\"10.0.0.0/8\"} }\n"

/* ---- good files */

struct good_row {
	const char *name, *text;
	const char *wanted; /* must occur in the dump */
};

static const struct good_row good_rows[] = {
    {"nothing: listener", "",
     "listener default 127.0.0.1 port 2525 size=26214400 recipients=1000 "
     "connections=10000 idle=300 bare=0 tls=0 certificate= key= client_ca= auth=0 client=2000 "
     "errors=200/60 line=0\n"},
    {"nothing: top level", "hostname = \"h.example\"",
     "hostname=h.example store=" LOCALSTATEDIR
     "/lib/mailfuse/mailfuse.db control=/run/mailfuse/control.sock "
     "users= user= log=0 loops=0 keep=604800,2592000,86400 limit=21474836480 free=1073741824 "
     "memory=536870912 traffic=7776000 keys=1000000\n"},
    {"nothing: unknown holds", "",
     "environment unknown upstream=NULL prefix=[] others=hold rewrite_to= allow={} "
     "burst=volume:50/10m:per1:settle0:cooldown3600\n"},
    {"unknown has the only upstream", UP, "environment unknown upstream=u "},
    {"unknown has none of two", UP "upstream v { address = \"b.example:25\" }",
     "environment unknown upstream=NULL "},
    {"unknown is last", UP "environment z { " HERE "}", "\nenvironment unknown upstream=u"},
    {"bare words and quotes", "log = syslog loops = \"4\" store = 'memory:'",
     "store=memory: control=/run/mailfuse/control.sock users= user= log=1 loops=4"},
    {"comments", "# a = {\n/* b = \"\n*/ loops = 3 // c\n", "loops=3 "},
    {"byte order mark, CRLF", "\xef\xbb\xbfloops = 3\r\nlog = syslog\r\n", "log=1 loops=3 "},
    {"no newline at the end", "loops = 3", "loops=3 "},
    {"times and sizes",
     "keep_dropped = 90s keep_discarded = 2h keep_sent = 3d quarantine_limit = 5MB min_free_space "
     "= 0 "
     "memory_limit = \"64MB\" keep_traffic = 1h counter_keys = 20000000",
     "keep=90,7200,259200 limit=5242880 free=0 memory=67108864 traffic=3600 keys=20000000\n"},
    {"users and user", "users = \"/etc/mailfuse/users\" user = mailfuse",
     " users=/etc/mailfuse/users user=mailfuse "},
    {"listener",
     "listener \"apps\" { address = \"0.0.0.0:0\" tls = off auth = off max_message_size = "
     "\"2MB\" max_recipients = 5 max_connections = 6 idle_timeout = 7s bare_newline = reject }",
     "listener apps 0.0.0.0 port 0 size=2097152 recipients=5 connections=6 idle=7 bare=1 tls=0 "},
    {"listener tls",
     "listener a { address = \"127.0.0.1:1\" tls = starttls certificate = \"/c\" key = \"/k\" "
     "client_ca = \"\" }",
     " tls=1 certificate=/c key=/k client_ca= auth=0 client=2000 errors=200/60 line=1\n"},
    {"listener tls, auth and its limits",
     "users = \"/u\"\nlistener a { address = \"0.0.0.0:1\" tls = implicit certificate = \"/c\" "
     "client_ca = \"/ca\" auth = required max_client_connections = 3 max_client_errors = "
     "\"9/2h\" }",
     " tls=3 certificate=/c key=/c client_ca=/ca auth=2 client=3 errors=9/7200 line=2\n"},
    {"listener auth on loopback",
     "users = \"/u\" listener a { address = \"127.9.9.9:1\" auth = optional }",
     " tls=0 certificate= key= client_ca= auth=1 "},

    {"listener IPv6", "listener six { address = \"[::1]:25\" }", "listener six ::1 port 25 "},
    {"two listeners",
     "listener a { address = \"127.0.0.1:1\" } listener b { address = \"127.0.0.1:2\" }",
     "listener b 127.0.0.1 port 2 "},
    {"two listeners on port 0",
     "listener a { address = \"127.0.0.1:0\" } listener b { address = \"127.0.0.1:0\" }",
     "listener b 127.0.0.1 port 0 "},
    {"upstream",
     "upstream s { address = \"[2001:db8::1]:587\" tls = off connections = 3 retry_for = 4h "
     "timeout = 9s }",
     "upstream s 2001:db8::1 port 587 connections=3 retry=14400 timeout=9 tls=0 ca= user= "
     "password= line=1\n"},
    {"upstream defaults", UP,
     "upstream u mx.example.com port 25 connections=20 retry=259200 timeout=300 tls=1 ca= user= "
     "password= line=1\n"},
    {"upstream tls and login",
     "\nupstream s { address = \"mx.example:465\" tls = implicit ca = \"/ca\" user = apikey "
     "password = \"a b\" }",
     " tls=3 ca=/ca user=apikey password=a b line=2\n"},
    {"upstream login on this machine",
     "upstream s { address = \"LocalHost:25\" tls = off user = x password = y } upstream t { "
     "address = \"127.9.9.9:25\" user = x password = y } upstream u { address = \"[::1]:25\" user "
     "= "
     "x password = y }",
     "upstream u ::1 port 25 connections=20 retry=259200 timeout=300 tls=1 ca= user=x password=y "},
    {"upstream password of a variable",
     "upstream s { address = \"mx.example:465\" tls = implicit user = apikey password = "
     "\"${MAILFUSE_TEST_SET}\" }",
     " user=apikey password=value "},
    {"match user on one of two listeners",
     "users = \"/u\" listener a { address = \"127.0.0.1:1\" } listener b { address = "
     "\"[::1]:2\" auth = required } environment s { match { user = {x} } }",
     " auth=2 "},
    {"upstream tls required", "upstream s { address = \"mx.example:587\" tls = required }",
     " tls=2 ca= user= "},
    {"upstream localhost", "upstream s { address = \"localhost:2526\" }",
     "upstream s localhost port 2526 "},
    {"production defaults", UP "environment p { production = true " HERE "}",
     "environment p production upstream=u prefix=[] others=hold rewrite_to= allow={*} match "
     "network={10.0.0.0/8} burst=volume:500/10m:per10:head10/10s:settle5:cooldown3600 "
     "burst=repeat:20/1h:per24:settle0:cooldown3600\n"},
    {"production, nobody", UP "environment p { production = yes allow = {} " HERE "}",
     "environment p production upstream=u prefix=[] others=hold rewrite_to= allow={} match"},
    {"staging defaults", UP "environment s { " HERE "}",
     "environment s upstream=u prefix=[] others=hold rewrite_to= allow={} match "
     "network={10.0.0.0/8} "
     "burst=volume:50/10m:per1:settle0:cooldown3600\n"},
    {"no upstream at all", "environment s { " HERE "}", "environment s upstream=NULL "},
    {"capture", UP "environment s { upstream = none " HERE "}", "environment s upstream= prefix"},
    {"upstream named",
     UP "upstream v { address = \"b.example:25\" } environment s { upstream = v " HERE "}",
     "environment s upstream=v "},
    {"nothing: decisions", "",
     "remind 3600 14400 86400 drill=2592000 approval=0,2,86400\naccess unset viewers={} "
     "operators={} approvers={}\nhttp unset host= port=0 tokens= line=0\n"},
    {"approval", "approval { above = 10000 }", " approval=10000,2,86400\n"},
    {"approval, all", "approval { above = 4294967295 approvers = 10 expires = 2s }",
     " approval=4294967295,10,2\n"},
    {"access",
     "access { viewers = \"*\" operators = {\"root\", \"@mail-ops\"} approvers = {\"a.b_c\"} }",
     "access set viewers={*} operators={root,@mail-ops} approvers={a.b_c}\n"},
    {"access without viewers and approvers", "access { operators = root }",
     "access set viewers={} operators={root} approvers={}\n"},
    {"approvers by token only",
     "approval { above = 5 } access { operators = root } http { address = \"127.0.0.1:1\" tokens "
     "= \"/t\" }",
     "approvers={}\nhttp set "},
    {"http", "\nhttp { address = \"[::1]:8025\" tokens = \"/etc/mailfuse/tokens\" }",
     "http set host=::1 port=8025 tokens=/etc/mailfuse/tokens line=2\n"},
    {"http on any port", "http { address = \"127.9.9.9:0\" tokens = \"/t\" }",
     "http set host=127.9.9.9 port=0 tokens=/t line=1\n"},
    {"http with TLS",
     "http { address = \"0.0.0.0:443\" tokens = \"/t\" certificate = \"/c\" key = \"/k\" "
     "hosts = {\"gate.example\", \"10.0.0.1\", \"[2001:db8::1]\", \"a_b\"} "
     "url = \"https://gate.example/\" console = off }",
     "line=1 certificate=/c key=/k hosts={gate.example,10.0.0.1,[2001:db8::1],a_b} "
     "url=https://gate.example console=off\n"},
    {"http behind a proxy",
     "http { address = \"127.0.0.1:1\" tokens = \"/t\" url = \"https://[2001:db8::1]:65535\" }",
     "line=1 url=https://[2001:db8::1]:65535\n"},
    {"reminders", "remind_after = {1s, \"90m\"} drill_every = 0", "remind 1 5400 drill=0 "},
    {"one reminder", "remind_after = 2h", "remind 7200 drill="},
    {"no reminders", "remind_after = {}", "remind drill="},
    {"ten reminders", "remind_after = {1m,2m,3m,4m,5m,6m,7m,8m,9m,10m}", " 540 600 drill="},
    {"staging of the design",
     UP "environment \"staging\" {\nmatch { network = {\"10.2.0.0/16\"} }\n"
	"subject_prefix = \"[STAGING] \"\nallow = {\"@example.com\", \"qa-*@partner.test\"}\n"
	"others = rewrite\nrewrite_to = \"qa+%u=%d@example.com\"\n}",
     "environment staging upstream=u prefix=[[STAGING] ] others=rewrite "
     "rewrite_to=qa+%u=%d@example.com allow={@example.com,qa-*@partner.test} match "
     "network={10.2.0.0/16}"},
    {"all patterns",
     "environment s { allow = {\"a@b.example\", \"@c.example\", \"@.d.example\", \"*\", "
     "\"/^x\\\\.y@/\", '/\\d+/i', \"ü@e.example\"} " HERE "}",
     "allow={a@b.example,@c.example,@.d.example,*,/^x\\.y@/,/\\d+/i,ü@e.example}"},
    {"allow grows", "environment s { allow = {\"@a.example\"} allow += {\"@b.example\"} " HERE "}",
     "allow={@a.example,@b.example}"},
    {"a list of one without braces", "environment s { allow = \"@a.example\" " HERE "}",
     "allow={@a.example}"},
    {"a comma at the end", "environment s { allow = {\"@a.example\", } " HERE "}",
     "allow={@a.example}"},
    {"all keys of match",
     "users = \"/u\" listener apps { address = \"127.0.0.1:0\" tls = starttls auth = optional "
     "certificate = \"/c\" client_ca = \"/ca\" } environment s { match { listener = "
     "{apps} network = {\"10.1.2.3\", \"2001:DB8::/32\"} user = {\"shop-*\"} "
     "tls_name = {\"app?\"} } match { user = {x} } }",
     "match listener={apps} network={10.1.2.3,2001:db8::/32} user={shop-*} tls_name={app?} match "
     "user={x}"},
    {"every network", "environment s { match { network = {\"0.0.0.0/0\", \"::/0\"} } }",
     "network={0.0.0.0/0,::/0}"},
    {"nested networks are told apart",
     "environment a { " HERE "} environment b { match { network = {\"10.1.0.0/16\"} } }",
     "environment b upstream=NULL"},
    {"the same network on two listeners",
     "listener x { address = \"127.0.0.1:1\" } listener y { address = \"127.0.0.1:2\" }"
     "environment a { match { listener = {x} network = {\"10.0.0.0/8\"} } }"
     "environment b { match { listener = {y} network = {\"10.0.0.0/8\"} } }",
     "environment b upstream=NULL"},
    {"burst",
     "environment s { " HERE
     "burst \"day\" { limit = \"100/1d\" per = {environment, source, sender, "
     "subject, recipient, campaign} head = \"3/2s\" settle = 9s cooldown = 0 action = alert } }",
     "burst=day:100/1d:per63:head3/2s:settle9:cooldown0:alert\n"},
    {"settle has a default with head",
     "environment s { " HERE "burst b { limit = \"9/1m\" per = source head = \"1/1s\" } }",
     "burst=b:9/1m:per2:head1/1s:settle5:cooldown3600\n"},
    {"a head of a longer time than the limit's may be larger",
     "environment s { " HERE "burst b { limit = \"9/1m\" per = source head = \"9/2m\" } }",
     "burst=b:9/1m:per2:head9/2m:settle5:cooldown3600\n"},
    {"own bursts replace the built-in ones",
     "environment s { production = on " HERE "burst b { limit = \"9/1m\" per = {source} } }",
     "match network={10.0.0.0/8} burst=b:9/1m:per2:settle0:cooldown3600\n"},
    {"burst declared",
     "environment s { " HERE "burst b { limit = \"9/1m\" per = source declared = \"9/30d\" } }",
     "burst=b:9/1m:per2:settle0:cooldown3600:declared9/30d\n"},
    {"campaign window", "environment s { campaign_window = 1s " HERE "}",
     "cooldown3600 campaign=1\n"},
    {"content of the design",
     "environment s { " HERE "content \"test marker\" { header = \"Subject\" match = "
     "\"/\\\\btest\\\\b/i\" above = \"20/10m\" } }",
     " content=test marker:header Subject:/\\btest\\b/i:above20/600:per2:cooldown3600\n"},
    {"content at its shortest", "environment s { " HERE "content c { part = body match = '*' } }",
     " content=c:body :*:above0/600:per2:cooldown3600\n"},
    {"content with everything",
     "environment s { " HERE "content a { part = text match = '/a\\/b\\s/ims' above = \"5/2d\" "
     "per = {environment, campaign} cooldown = 0 action = alert } content b { part = html match "
     "= \"lorem ipsum\" } }",
     " content=a:text :/a\\/b\\s/ims:above5/172800:per33:cooldown0:alert "
     "content=b:html :lorem ipsum:above0/600:per2:cooldown3600\n"},
    {"a content rule may be called as a burst is, and its text may have slashes in it",
     "environment s { " HERE "burst x { limit = \"9/1m\" per = source } content x { header = "
     "\"X-Y_z\" match = \"a/b\" } content y { header = Z match = \"/a\\\\/b/c/s\" } }",
     " content=x:header X-Y_z:a/b:above0/600:per2:cooldown3600 content=y:header Z:/a\\/b/c/s:"},
    {"webhook", "alert w { type = webhook url = \"https://h.example/x\" }",
     "alert w type=0 url=https://h.example/x retry=86400 timeout=10 command={} events={*}\n"},
    {"slack",
     "alert s { type = slack url = \"http://127.0.0.1:1/\" events = {\"batch.*\", \"upstream.*\"} "
     "retry_for = 1h timeout = 3s }",
     "alert s type=1 url=http://127.0.0.1:1/ retry=3600 timeout=3 hour=60 command={} "
     "events={batch.*,upstream.*}\n"},
    {"teams", "alert t { type = teams url = \"http://127.0.0.1:1/\" per_hour = 7 }",
     "alert t type=3 url=http://127.0.0.1:1/ retry=86400 timeout=10 hour=7 command={} "
     "events={*}\n"},
    {"email",
     "hostname = gate.example upstream s { address = \"h.example:25\" } alert m { type = email to "
     "= "
     "{\"ops@x.test\", \"b@ü.test\"} subject = \"%b 100%%\" }",
     "environment alerts/m upstream=s prefix=[] others=hold rewrite_to= "
     "allow={ops@x.test,b@xn--tda.test}\nenvironment unknown"},
    {"exec", "alert e { type = exec command = {\"/bin/sh\", \"-c\", \"x \\\"$1\\\"\"} }",
     "alert e type=2 url= retry=86400 timeout=10 command={/bin/sh,-c,x \"$1\"} events={*}\n"},
    {"variable", "store = \"/srv/${MAILFUSE_TEST_SET}/db\"", "store=/srv/value/db "},
    {"variable with a default", "store = \"/srv/${MAILFUSE_TEST_UNSET:-none}/db\"",
     "store=/srv/none/db "},
    {"no variable after a backslash", "store = \"/srv/\\${X}\"", "store=/srv/${X} "},
    {"an empty hostname is the host's own", "hostname = \"\" loops = 3", "loops=3 "},
    {"no variable in single quotes", "store = '/srv/${X}'", "store=/srv/${X} "},
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
		const struct good_row *row = &good_rows[i];
		struct buf errors = {0}, out = {0};
		struct config *c = load(row->text, &errors);

		if (c == NULL)
			fail_msg("%s: refused: %s", row->name, buf_text(&errors));
		assert_int_equal(errors.len, 0);
		dump(&out, c);
		if (strstr(buf_text(&out), row->wanted) == NULL)
			fail_msg("%s: wanted: %s\ngot: %s", row->name, row->wanted, buf_text(&out));
		assert_string_equal(c->environments[c->environment_count - 1].name, "unknown");
		config_unref(c);
		buf_free(&errors);
		buf_free(&out);
	}
}

/* ---- bad files */

struct bad_row {
	const char *name, *text;
	const char *wanted; /* all of it */
};

static const struct bad_row bad_rows[] = {
#include "tests/unit/config_bad.h"
};

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		const struct bad_row *row = &bad_rows[i];
		struct buf errors = {0};
		char *text = mem_strdup(row->text);
		/* The files that a row names are not there: test_config_files.c has those. */
		struct config *c = load_text(text, "t", false, &errors);

		free(text);
		if (c != NULL)
			fail_msg("%s: was taken, wanted: %s", row->name, row->wanted);
		if (strcmp(buf_text(&errors), row->wanted) != 0)
			fail_msg("%s:\nwanted: %s\ngot:    %s", row->name, row->wanted,
				 buf_text(&errors));
		buf_free(&errors);
	}
}

/* ---- the rest of config.h */

#define HTTP "http { address = \"127.0.0.1:1\" tokens = \"/t\" "

struct diff_row {
	const char *name, *now, *next, *wanted;
};

static void
test_diff(void **state)
{
	static const struct diff_row rows[] = {
	    {"same", "", "", ""},
	    {"reloadable", "keep_sent = 1d hostname = a.example",
	     "keep_sent = 2d hostname = b.example", ""},
	    {"store and control", "", "store = \"/a\" control = \"/b\"", "store, control"},
	    {"user", "", "user = mailfuse", "user"},
	    {"TLS, logins and users", "",
	     "users = \"/u\" listener default { address = \"127.0.0.1:2525\" tls = required "
	     "certificate = \"/c\" auth = required }",
	     ""},
	    {"upstream tls", UP, "upstream u { address = \"mx.example.com:465\" tls = implicit }",
	     ""},
	    {"log and loops", "log = syslog", "loops = 2", "log, loops"},
	    {"listener moved", "listener a { address = \"127.0.0.1:1\" }",
	     "listener a { address = \"127.0.0.1:2\" }", "listener addresses"},
	    {"listener limits", "listener a { address = \"127.0.0.1:1\" }",
	     "listener a { address = \"127.0.0.1:1\" max_recipients = 2 }", ""},
	    {"listener added", "listener a { address = \"127.0.0.1:1\" }",
	     "listener a { address = \"127.0.0.1:1\" } listener b { address = \"127.0.0.1:2\" }",
	     "listener addresses"},
	    {"http added", "", "http { address = \"127.0.0.1:1\" tokens = \"/t\" }",
	     "http address"},
	    {"http moved", "http { address = \"127.0.0.1:1\" tokens = \"/t\" }",
	     "http { address = \"127.0.0.1:2\" tokens = \"/t\" } loops = 2", "loops, http address"},
	    {"http, TLS off", HTTP "certificate = \"/c\" }", HTTP "}",
	     "http certificate (TLS on or off)"},
	    {"http, another certificate, names", HTTP "certificate = \"/c\" url = \"http://a\" }",
	     HTTP "certificate = \"/d\" hosts = \"b\" console = off }", ""},
	    {"http, other tokens, and who may do what",
	     "http { address = \"127.0.0.1:1\" tokens = \"/t\" }",
	     "http { address = \"127.0.0.1:1\" tokens = \"/u\" } access { operators = root } "
	     "approval { above = 1 } remind_after = {} drill_every = 1d",
	     ""},
	    {"listeners in another order",
	     "listener a { address = \"127.0.0.1:1\" } listener b { address = \"127.0.0.1:2\" }",
	     "listener b { address = \"127.0.0.1:2\" } listener a { address = \"127.0.0.1:1\" }",
	     ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf errors = {0}, out = {0};
		struct config *now = load(rows[i].now, &errors);
		struct config *next = load(rows[i].next, &errors);

		if (now == NULL || next == NULL)
			fail_msg("%s: %s", rows[i].name, buf_text(&errors));
		config_diff_fixed(now, next, &out);
		if (strcmp(buf_text(&out), rows[i].wanted) != 0)
			fail_msg("%s: wanted %s, got %s", rows[i].name, rows[i].wanted,
				 buf_text(&out));
		config_unref(now);
		config_unref(next);
		buf_free(&out);
		buf_free(&errors);
	}
}

static void
test_find(void **state)
{
	struct buf errors = {0};
	struct config *c = load(UP "environment s { " HERE "}", &errors);

	(void)state;
	assert_non_null(c);
	assert_ptr_equal(config_find_environment(c, "s"), &c->environments[0]);
	assert_ptr_equal(config_find_environment(c, "unknown"), &c->environments[1]);
	assert_null(config_find_environment(c, "S"));
	assert_ptr_equal(config_find_upstream(c, "u"), &c->upstreams[0]);
	assert_null(config_find_upstream(c, ""));
	config_unref(c);
	buf_free(&errors);
}

static void
test_many_errors(void **state)
{
	struct buf text = {0}, errors = {0};
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "x%d = {\"\n",
			   i); /* each an open quote: the walk stops at the first */
	assert_null(load(buf_text(&text), &errors));
	buf_clear(&text);
	buf_clear(&errors);
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "zzzzzzzzzz%d = 1\n", i);
	assert_null(load(buf_text(&text), &errors));
	for (const char *p = buf_text(&errors); (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	assert_int_equal(lines, 1000);
	buf_free(&text);
	buf_free(&errors);
}

/* The text of a file beside the sources, for free(). */
static char *
read_source(const char *name)
{
	struct buf out = {0};
	const char *srcdir = getenv("srcdir");
	char *path = mem_printf("%s/%s", srcdir == NULL ? "." : srcdir, name);
	FILE *f = fopen(path, "r");
	char bytes[4096];
	size_t n;

	if (f == NULL)
		fail_msg("cannot open %s", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_add(&out, bytes, n);
	fclose(f);
	free(path);
	return buf_take(&out);
}

static void
test_sample(void **state)
{
	static const char *const names[] = {"etc/mailfuse.conf", "etc/production.conf"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *text = read_source(names[i]);
		struct buf errors = {0};
		struct config *c = load_text(text, names[i], false, &errors);

		if (c == NULL)
			fail_msg("%s", buf_text(&errors));
		config_unref(c);
		free(text);
		buf_free(&errors);
	}
}

/* The item of the manual page that a row must have. */
static void
add_manual_item(const struct option *row, struct buf *out)
{
	const char *section = row->section[0] == '\0' ? "top" : row->section;
	bool local = strncmp(row->def, LOCALSTATEDIR "/", strlen(LOCALSTATEDIR "/")) == 0;

	if (row->type == OPTION_SECTION)
		buf_printf(out, ".Ss %s %s\n", row->name,
			   (row->flags & OPTION_TITLE) != 0 ? "\\(dqname\\(dq { ... }" : "{ ... }");
	else if ((row->flags & OPTION_REQUIRED) != 0)
		buf_printf(out, ".\\\" %s\n.It Ic %s Pq required\n", section, row->name);
	else if (row->def[0] == '\0')
		buf_printf(out, ".\\\" %s\n.It Ic %s\n", section, row->name);
	else
		/* The page shows where --prefix=/usr puts it. */
		buf_printf(out, ".\\\" %s\n.It Ic %s Pq default Ql %s%s\n", section, row->name,
			   local ? "/var" : "", row->def + (local ? strlen(LOCALSTATEDIR) : 0));
}

/* The manual page has each row of the table: name, default, and the same words. */
static void
test_manual(void **state)
{
	char *page = read_source("man/mailfuse.conf.5");
	char *words = mem_strdup(page); /* the same in one line */

	(void)state;
	for (char *p = words; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	for (const struct option *row = options_table(); row->name != NULL; row++) {
		struct buf item = {0};
		const char *at, *end;

		add_manual_item(row, &item);
		at = strstr(page, buf_text(&item));
		if (at == NULL)
			fail_msg("man/mailfuse.conf.5 has no %s", buf_text(&item));
		at += item.len;
		end = strstr(words + (at - page), row->help);
		if (end == NULL ||
		    end - (words + (at - page)) > 12) /* "Duration: " stands before it */
			fail_msg("man/mailfuse.conf.5 says otherwise of %s: %s", row->name,
				 row->help);
		buf_free(&item);
	}
	free(words);
	free(page);
}

static void
test_document(void **state)
{
	struct buf out = {0};

	(void)state;
	config_document(&out);
	assert_non_null(strstr(buf_text(&out), "\nenvironment.burst.cooldown      duration   1h "));
	assert_non_null(
	    strstr(buf_text(&out), "\nlistener.address                host:port  (required) "));
	assert_non_null(strstr(buf_text(&out), "\nupstream.password               text       - "));
	assert_non_null(
	    strstr(buf_text(&out), "\nenvironment.content.per         words      source "));
	assert_non_null(
	    strstr(buf_text(&out), "\nenvironment.content             section    \"name\" { } "));
	assert_non_null(
	    strstr(buf_text(&out), "\nremind_after                    durations  1h, 4h, 24h "));
	assert_non_null(
	    strstr(buf_text(&out), "\napproval                        section    { } "));
	assert_non_null(strstr(buf_text(&out), "\napproval.approvers              number     2 "));
	assert_non_null(strstr(buf_text(&out), "\nhttp.address                    host:port  "
					       "(required)                         restart"));
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_diff),        cmocka_unit_test(test_find),
	    cmocka_unit_test(test_many_errors), cmocka_unit_test(test_sample),
	    cmocka_unit_test(test_manual),      cmocka_unit_test(test_document),
	};

	setenv("MAILFUSE_TEST_SET", "value", 1);
	unsetenv("MAILFUSE_TEST_UNSET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
