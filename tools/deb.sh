#!/bin/sh
# tools/deb.sh: the Debian package, built from a copy of the tree; build/deb/neo_VERSION_ARCH.deb is printed.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
place=$top/build/deb
rm -rf "$place"
mkdir -p "$place/neo"
(cd "$top" && tar -c --exclude=__pycache__ --exclude='*.egg-info' \
    src etc systemd docs tools debian pyproject.toml README.md CHANGELOG.md LICENSE Makefile) | tar -x -C "$place/neo"
cd "$place/neo"
unset MAKEFLAGS MAKELEVEL DESTDIR PREFIX PYTHON
if ! dpkg-buildpackage --build=binary --no-sign >"$place/log" 2>&1; then
    tail -n 40 "$place/log" >&2
    exit 1
fi
rm -rf "$place/neo"
ls "$place"/neo_*.deb
