#!/bin/sh
# tools/inside.sh TREE OUT COMMAND …: run a command in a copy of this source inside another Debian (see tools/tree.sh).
# The tree stays as it is: what is written is forgotten, except below /out, which is OUT. Python's packages come over
# the host's network, with the host's settings of pip. Needs root.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$2"
tree=$(realpath "$1/root") out=$(realpath "$2")
shift 2
unset MAKEFLAGS MAKELEVEL DESTDIR PREFIX PYTHON PYTHONDONTWRITEBYTECODE
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec unshare --mount --propagation private sh -euc '
    top=$1 tree=$2 out=$3
    shift 3
    mount -t tmpfs tmpfs /mnt # in this process alone
    mkdir /mnt/up /mnt/work /mnt/root
    mount -t overlay -o "lowerdir=$tree,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
    cd /mnt/root
    mkdir -p out source
    mount --bind "$out" out
    mount --rbind /dev dev
    mount -t proc proc proc
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$file" ]; then mkdir -p ".${file%/*}" && cat "$file" >".$file"; fi
    done
    (cd "$top" && tar -c --exclude=__pycache__ --exclude="*.egg-info" \
        src etc systemd docs tools debian pyproject.toml README.md CHANGELOG.md LICENSE Makefile) | tar -x -C source
    exec chroot . sh -euc "cd /source; exec \"\$@\"" inside "$@"' inside "$top" "$tree" "$out" "$@"
