#!/bin/sh
# image.sh TREE NEO: a disk with the Debian of TREE (tools/tree.sh) and the package in NEO (build.sh)
# on it, with its kernel beside it; made once, under build/vm. Prints where.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 neo=$2
cache=$here/../../../build/vm
suite=$(basename "$tree") && suite=${suite%-*}
image=$cache/$suite-$({ cat "$0" "$here"/guest/*; echo "$tree $neo"; } | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$image/ready" ]; then
    rm -rf "$image"
    find "$cache" -maxdepth 1 -name "$suite-*" -mmin +240 -exec rm -rf {} + # younger ones may be in use
    mkdir -p "$image"
    unshare --mount --propagation private sh -eu "$here/disk.sh" "$tree" "$neo" "$image" "$here/guest" >&2
    touch "$image/ready"
fi
realpath "$image"
