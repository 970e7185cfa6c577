#!/bin/sh
# tools/install.sh install | files | uninstall: neo under $DESTDIR$PREFIX, its configuration under $DESTDIR$SYSCONFDIR.
#
# Python and what neo needs of it live in a virtual environment of their own, $PREFIX/lib/neo. It is made beside the
# old one and put in its place at the end. /etc/neo/neo.toml is written if there is none, and never otherwise.
# "files" is the part of it that needs no Python.
# Every file is listed in $PREFIX/lib/neo/manifest, which is what uninstall goes by. Neither touches the network.
set -eu
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
DESTDIR=${DESTDIR:-}
# Debian's interpreter and not whichever comes first: neod runs as root and must not hang on somebody's home directory.
PYTHON=${PYTHON:-$(command -v /usr/bin/python3 || command -v python3)}
top=$(cd "$(dirname "$0")/.." && pwd)
home=$PREFIX/lib/neo # where it will be; $DESTDIR$home is where it is made

put() { # put MODE SOURCE TARGET: a file with the paths of this installation, and in the manifest
    mkdir -p "$DESTDIR$(dirname "$3")"
    sed -e "s,/usr/local/\(bin\|share\)/,$PREFIX/\1/,g" "$2" >"$DESTDIR$3.new"
    chmod "$1" "$DESTDIR$3.new"
    mv -f "$DESTDIR$3.new" "$DESTDIR$3"
    echo "$3" >>"$scratch/manifest"
}

environment() { # the virtual environment, at $DESTDIR$home.new, free of the paths it was made at
    made=$DESTDIR$home.new
    rm -rf "$made"
    mkdir -p "$(dirname "$made")"
    # Built from a copy: nothing is written into the source tree, and nothing old in it is picked up.
    mkdir "$scratch/source"
    (cd "$top" && tar -c --exclude=__pycache__ --exclude='*.egg-info' src pyproject.toml README.md LICENSE) |
        tar -x -C "$scratch/source"
    "$PYTHON" -m venv "$made"
    # No cache: what it holds was perhaps built with another interpreter of the same version, and looks for its libraries.
    "$made/bin/python3" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile "$scratch/source"
    "$made/bin/python3" -m pip uninstall --quiet --yes pip setuptools 2>/dev/null
    find "$made/bin" -type f -delete
    rm -f "$made"/lib/python*/site-packages/neod-*.dist-info/direct_url.json
    rm -rf "$made/include" "$made/share"
    sed -i '/^command/d' "$made/pyvenv.cfg"
    # Modules that can also be run as programs: nobody does, and their interpreter would be another.
    find "$made"/lib/python*/site-packages -name '*.py' -exec sed -i '1s/^#!/# /' {} +
    for library in "$made"/lib/python*; do # on Debian, lib64 is a link to lib
        "$made/bin/python3" -W ignore -m compileall -q -s "$made" -p "$home" "$library"
    done
}

wrapper() { # wrapper NAME MODULE: a command that hears nothing of PYTHON* and of the working directory
    printf '#!%s/bin/python3 -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' "$home" "$2" >"$scratch/$1"
    put 755 "$scratch/$1" "$PREFIX/bin/$1"
}

generated() { # what the installed program writes about itself
    run="$DESTDIR$home.new/bin/python3 -I"
    ctl="from neod.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    $run -c "$ctl" schema >"$scratch/schema"
    put 644 "$scratch/schema" "$SYSCONFDIR/neo/neo.schema.json"
    for pair in bash=bash-completion/completions/neodctl zsh=zsh/site-functions/_neodctl \
        fish=fish/vendor_completions.d/neodctl.fish; do
        $run -c "$ctl" completion "${pair%%=*}" >"$scratch/completion"
        put 644 "$scratch/completion" "$PREFIX/share/${pair#*=}"
    done
    if [ -e "$top/tools/man.py" ]; then
        mkdir "$scratch/man"
        $run "$top/tools/man.py" "$scratch/man"
        for page in "$scratch"/man/*; do
            put 644 "$page" "$PREFIX/share/man/man${page##*.}/${page##*/}"
        done
    fi
}

files() { # what is installed as it stands in the repository
    for unit in "$top"/systemd/*.service; do
        put 644 "$unit" "$PREFIX/lib/systemd/system/${unit##*/}"
    done
    put 755 "$top/tools/leave.sh" "$PREFIX/share/neo/leave"
    put 644 "$top/etc/sysusers.d/neo.conf" "$PREFIX/lib/sysusers.d/neo.conf"
    put 644 "$top/etc/modules-load.d/neo.conf" "$PREFIX/lib/modules-load.d/neo.conf"
    put 644 "$top/etc/rt_protos.d/neo.conf" "$SYSCONFDIR/iproute2/rt_protos.d/neo.conf"
    for file in README.md LICENSE CHANGELOG.md etc/examples/* etc/opt-out/* systemd/*.conf docs/*.md docs/pictures/*.svg; do
        [ -e "$top/$file" ] || continue
        case $file in
        etc/examples/* | systemd/*) place=examples/${file##*/} ;;
        etc/opt-out/*) place=opt-out/${file##*/} ;;
        docs/pictures/*) place=pictures/${file##*/} ;;
        *) place=${file##*/} ;;
        esac
        case $file in
        *.md) document "$top/$file" >"$scratch/document" ;;
        *) cp "$top/$file" "$scratch/document" ;;
        esac
        put 644 "$scratch/document" "$PREFIX/share/doc/neo/$place"
    done
}

document() { # a document of the repository, with the places that things have once they are installed
    sed -e 's,\([[(`]\)\(\.\./\)\?etc/\(examples\|opt-out\),\1\3,g' -e "s,\([[(\`]\)etc/neo\.toml,\1$SYSCONFDIR/neo/neo.toml,g" \
        -e 's,\([[(]\)docs/,\1,g' -e 's,(\.\./\(README\|CHANGELOG\)\.md,(\1.md,g' "$1"
}

config() { # the file, if there is none
    if [ -e "$DESTDIR$SYSCONFDIR/neo/neo.toml" ]; then
        echo "$SYSCONFDIR/neo/neo.toml is there and stays as it is"
    else
        install -D -m 644 "$top/etc/neo.toml" "$DESTDIR$SYSCONFDIR/neo/neo.toml"
    fi
}

swap() { # the new environment in place of the old; files that only the old version had go
    cp "$scratch/manifest" "$DESTDIR$home.new/manifest"
    if [ -e "$DESTDIR$home/manifest" ]; then
        sort -u "$scratch/manifest" >"$scratch/now"
        sort -u "$DESTDIR$home/manifest" | comm -23 - "$scratch/now" | while read -r gone; do rm -f "$DESTDIR$gone"; done
        rm -rf "$DESTDIR$home.old"
        mv "$DESTDIR$home" "$DESTDIR$home.old"
    fi
    mv "$DESTDIR$home.new" "$DESTDIR$home"
    rm -rf "$DESTDIR$home.old"
}

live() { # whether this is the running system, under systemd
    [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]
}

do_install() {
    environment
    wrapper neod neod.__main__
    wrapper neodctl neod.cli.main
    wrapper neo-race neod.race.main
    generated
    files
    config
    swap
    if live; then
        systemd-sysusers "$PREFIX/lib/sysusers.d/neo.conf"
        systemctl daemon-reload
        echo "installed; edit $SYSCONFDIR/neo/neo.toml, then: systemctl enable --now neod"
        echo "after an upgrade: systemctl restart neod (it loses no lease, no address and no connection)"
    fi
}

do_uninstall() {
    [ -e "$DESTDIR$home/manifest" ] || { echo "no neo under $DESTDIR$PREFIX" >&2; exit 1; }
    if live; then
        systemctl disable --now --quiet neod.service neo-wait-online.service neo-race.service 2>/dev/null || true
        sh "$top/tools/leave.sh" "$home/bin/python3"
    fi
    cmp -s "$top/etc/neo.toml" "$DESTDIR$SYSCONFDIR/neo/neo.toml" && rm -f "$DESTDIR$SYSCONFDIR/neo/neo.toml"
    while read -r file; do rm -f "$DESTDIR$file"; done <"$DESTDIR$home/manifest"
    rm -rf "$DESTDIR$home"
    doc=$PREFIX/share/doc/neo
    for folder in "$PREFIX/share/neo" "$doc/examples" "$doc/opt-out" "$doc/pictures" "$doc" "$SYSCONFDIR/neo"; do
        rmdir --ignore-fail-on-non-empty "$DESTDIR$folder"
    done
    if live; then systemctl daemon-reload; fi
    if [ -e "$DESTDIR$SYSCONFDIR/neo/neo.toml" ]; then echo "$SYSCONFDIR/neo/neo.toml was changed and stays"; fi
}

umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
case ${1:-} in
install) do_install ;;
files) files ;;
uninstall) do_uninstall ;;
*) echo "usage: $0 install|files|uninstall" >&2 && exit 2 ;;
esac
