#!/bin/sh
# tools/need.sh COMMAND=PACKAGE …: have the commands, from Debian's packages where they are missing.
# As root it installs them; otherwise it prints the one command that does, and fails.
set -eu
PATH="$PATH:/usr/sbin:/sbin"
missing=""
for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
# Python's own modules for virtual environments are a package of their own on Debian.
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0
install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -ne 0 ]; then
    echo "missing:$missing; as root, run: $install" >&2
    exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -qq && $install; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
rm -f "$log"
