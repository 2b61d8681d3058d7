#!/bin/sh
# Holds every #include of the rooms against the table of HACKING.md: which room may include which,
# and the only rooms that may include a library's header. Prints the lines that break it.
# `make check` runs it with srcdir set.
set -u

# room      the rooms whose headers it may include besides its own
rooms='
base
mail        base
net         base
config      base mail
store       base mail
filters     base mail config
relay       base mail net config filters store
alert       base mail net config store
control     base mail net config filters store
daemon      base mail net config filters store relay alert control
simulate    base mail config filters
cli         base mail store simulate
'

# header, a shell pattern, first match counts    the only rooms that may include it
libraries='
gmime/*               mail
idn2.h                mail
event2/http*.h        control
event2/keyvalq_struct.h control
event2/listener.h     net control
event2/event.h        net control alert
event2/buffer.h       net control
event2/bufferevent.h  net control
event2/*              net
openssl/ssl.h         net
openssl/err.h         net
openssl/pem.h         net
openssl/x509*         net
openssl/kdf.h         base
openssl/params.h      base
openssl/core_names.h  base
openssl/rand.h        base relay
openssl/evp.h         base net relay store control cli alert
openssl/hmac.h        relay alert
confuse.h             config
sqlite3.h             store
zstd.h                store
pcre2.h               filters
curl/*                alert cli
jansson.h             control alert cli
spawn.h               alert cli
signal.h              daemon alert cli
'

# Prints the offending lines of the tree in $1.
check_tree() (
	cd "$1" || exit 2
	for room in $(printf '%s' "$rooms" | awk 'NF { print $1 }'); do
		[ -d "$room" ] || continue
		find "$room" -name '*.[ch]' | sort | xargs -r grep -nE '^[ \t]*#[ \t]*include' /dev/null
	done | awk -v rooms="$rooms" -v libraries="$libraries" '
	BEGIN {
		n = split(rooms, line, "\n")
		for (i = 1; i <= n; i++) {
			k = split(line[i], word, " ")
			if (k) known[word[1]] = 1
			for (j = 1; j <= k; j++) may[word[1], word[j]] = 1
		}
		n = split(libraries, line, "\n")
		for (i = 1; i <= n; i++) {
			k = split(line[i], word, " ")
			if (!k) continue
			glob = word[1]
			gsub(/\./, "\\.", glob)
			gsub(/\*/, ".*", glob)
			pattern[++patterns] = "^" glob "$"
			only[patterns] = " "
			for (j = 2; j <= k; j++) only[patterns] = only[patterns] word[j] " "
		}
	}
	function bad(why) { print $0 "   <- " why }
	{
		room = $0
		sub(/\/.*/, "", room)
		header = $0
		if (sub(/^[^"<]*"/, "", header)) {
			sub(/".*/, "", header)
			from = header
			if (!sub(/\/.*/, "", from) || !(from in known))
				bad("write it as \"room/file.h\"")
			else if (!((room, from) in may))
				bad(room "/ may not include " from "/ (see HACKING.md)")
		} else if (sub(/^[^<]*</, "", header)) {
			sub(/>.*/, "", header)
			for (i = 1; i <= patterns; i++)
				if (header ~ pattern[i]) {
					if (index(only[i], " " room " ") == 0)
						bad("<" header "> belongs to:" only[i] "(see HACKING.md)")
					break
				}
		}
	}'
)

# The check itself must be able to fail: three wrong lines among right ones.
check_itself() {
	tree=$(mktemp -d) || exit 2
	mkdir "$tree/base" "$tree/mail" "$tree/store"
	printf '#include "store/store.h"\n#include <stdio.h>\n' >"$tree/base/a.h"
	printf '#include <sqlite3.h>\n#include "base/a.h"\n' >"$tree/mail/b.c"
	printf '#include <sqlite3.h>\n#include "mail/b.h"\n#include "b.h"\n' >"$tree/store/c.c"
	found=$(check_tree "$tree" | sed 's/   <-.*//' | tr '\n' ' ')
	rm -r "$tree"
	wanted='base/a.h:1:#include "store/store.h" mail/b.c:1:#include <sqlite3.h> store/c.c:3:#include "b.h" '
	[ "$found" = "$wanted" ] && return
	printf 'the include check does not work: found: %s\nwanted: %s\n' "$found" "$wanted"
	exit 1
}

check_itself
wrong=$(check_tree "${srcdir:-.}")
[ -z "$wrong" ] || {
	printf '%s\n' "$wrong"
	exit 1
}
