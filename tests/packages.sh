# The Debian packages that mailfuse is built and tested with, and how ./check and ./demo install
# what is missing of them. Sourced by both; bash.

build_packages=(
	autoconf automake make gcc libc6-dev pkgconf
	libevent-dev libssl-dev libsqlite3-dev libzstd-dev libconfuse-dev libjansson-dev
	libcurl4-openssl-dev libpcre2-dev libidn2-dev libgmime-3.0-dev uthash-dev
	python3
)
# The second compiler and its sanitizers, the test libraries, and the mail programs that the
# end-to-end tests put in front of the gate and behind it.
test_packages=(
	clang clang-format libclang-rt-dev llvm libcmocka-dev xz-utils
	python3-pytest python3-pytest-xdist python3-pyte openssl
	swaks libnet-ssleay-perl msmtp curl node-nodemailer postfix systemd
	sasl2-bin libsasl2-modules faketime sqlite3 chromium prometheus
	python3-jsonschema python3-yaml mandoc zsh fish jq less codespell
)

# Prints the packages of its arguments that are not installed.
packages_missing() {
	local p
	for p; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
	done
}

# Installs what is missing of its arguments; does nothing, and needs no rights, if nothing is.
packages_install() {
	local missing root=() policy=
	mapfile -t missing < <(packages_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "missing: ${missing[*]}; install them and start again (apt-get is not here)" >&2
		return 1
	fi
	[ "$(id -u)" = 0 ] || root=(sudo)
	echo "installing: ${missing[*]}"
	case " ${missing[*]} " in
	*" postfix "*)
		echo 'postfix postfix/main_mailer_type select No configuration' |
			"${root[@]}" debconf-set-selections
		;;
	esac
	case " ${missing[*]} " in
	*" postfix "* | *" sasl2-bin "* | *" prometheus "*)
		# The tests start their own servers; the system's are neither configured nor started.
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null
			"${root[@]}" chmod 755 $policy
		else
			policy=
		fi
		;;
	esac
	"${root[@]}" apt-get -qq update &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
			-o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >/dev/null
	local result=$?
	[ -z "$policy" ] || "${root[@]}" rm -f $policy
	return $result
}

# Node and npm build the console. They may come from elsewhere than Debian; then Debian's are not wanted.
command -v node >/dev/null || build_packages+=(nodejs)
command -v npm >/dev/null || build_packages+=(npm)
