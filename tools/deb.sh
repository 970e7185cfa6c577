#!/bin/sh
# tools/deb.sh [SUITE]: the Debian package, built from a copy of the tree; its place, below build/deb, is printed.
# With SUITE (bookworm, trixie) it is built inside that Debian: the package is bound to the Python of where it was built.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
place=$top/build/deb${1:+/$1}
rm -rf "$place"
mkdir -p "$place"
if [ -n "${1:-}" ]; then
    tree=$("$top/tools/tree.sh" "$1")
    "$top/tools/inside.sh" "$tree" "$place" sh -euc 'tools/deb.sh >&2; cp build/deb/neo_* /out'
    ls "$place"/neo_*.deb
    exit
fi
mkdir "$place/neo"
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
