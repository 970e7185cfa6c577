#!/bin/sh
# build.sh TREE: neo as it is in this source, built inside a Debian (see tools/tree.sh) and kept beside it.
# Prints where: installed is what `make install` puts there, neo_*.deb the package, wheels what pip needs for both.
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
tree=$1
sum() { cd "$top" && find "$@" -type f ! -path '*/__pycache__/*' ! -path '*.egg-info/*' -exec sha256sum {} + | sort | sha256sum | cut -c1-12; }
wheels=wheels-$(sum pyproject.toml)
made=neo-$(sum src etc systemd docs tools debian pyproject.toml README.md CHANGELOG.md LICENSE Makefile tests/lab/debian/build.sh)
exec 9>"$tree/lock"
flock 9
if [ ! -e "$tree/$made/ready" ]; then
    rm -rf "$tree/$made"
    find "$tree" -maxdepth 1 -name 'neo-*' -mmin +240 -exec rm -rf {} + # younger ones may be in use
    "$top/tools/inside.sh" "$tree" "$tree" sh -euc '
        made=/out/$1 wheels=/out/$2
        if [ ! -e "$wheels/ready" ]; then
            rm -rf /out/wheels-*
            python3 -m venv /tmp/venv
            /tmp/venv/bin/pip wheel --quiet --use-pep517 --no-cache-dir --wheel-dir "$wheels" . setuptools wheel
            rm "$wheels"/neod-*
            touch "$wheels/ready"
        fi
        export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels"
        mkdir -p "$made/installed"
        DESTDIR=$made/installed tools/install.sh install
        tools/deb.sh
        cp build/deb/neo_*.deb "$made"' inside "$made" "$wheels" >&2
    chmod 755 "$tree/$made/installed" # it becomes the root folder
    ln -s "../$wheels" "$tree/$made/wheels"
    touch "$tree/$made/ready"
fi
echo "$tree/$made"
