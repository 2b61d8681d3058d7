#!/bin/bash
# Puts Debian's OpenSMTPD into a folder, for the end-to-end tests: tests/opensmtpd.sh FOLDER.
# Unpacked only: its package cannot be installed beside Postfix's. tests/integration/rig/opensmtpd.py
# runs it in a chroot. Does nothing if it is there.
set -eu
source=$(dirname "$(readlink -f "$0")")/integration/rig/opensmtpd_keys.c
folder=${1:?usage: $0 FOLDER}
[ ! -e "$folder/keys.so" ] || exit 0
mkdir -p "$folder"
cd "$folder"
# As whoever we are: apt's own user need not be able to write here.
get() { apt-get -qq -o APT::Sandbox::User="$(id -un)" download opensmtpd; }
rm -f opensmtpd_*.deb
get || { apt-get -qq update && get; }
dpkg -x opensmtpd_*.deb .
# Last: it says that all is there.
cc -O1 -Wall -Wextra -shared -fPIC -D_GNU_SOURCE -o keys.tmp "$source" -lcrypto
mv keys.tmp keys.so
