# The two commands of the README: make demo, make test. Each sets up all it needs.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
LAB     := ip=iproute2 nsenter=util-linux dnsmasq=dnsmasq-base ping=iputils-ping ps=procps
TOOLS   := $(LAB) kea-dhcp4=kea-dhcp4-server nft=nftables iptables-legacy=iptables tc=iproute2 socat=socat \
           haproxy=haproxy curl=curl ss-server=shadowsocks-libev mptcpize=mptcpize tcpdump=tcpdump conntrack=conntrack gcc=gcc python3-config=python3-dev \
           zsh=zsh fish=fish mandoc=mandoc groff=groff
# What boots a Debian of its own. Where these cannot be had, those tests are skipped and say so.
BOOT    := mmdebstrap=mmdebstrap systemd-nspawn=systemd-container qemu-system-x86_64=qemu-system-x86 \
           qemu-img=qemu-utils cpio=cpio xz=xz-utils mke2fs=e2fsprogs
PYTEST  := $(BIN)/python -m pytest

.PHONY: help venv demo test test-install test-box test-vm deb docs unit check lint types layers rules bench install uninstall clean

help:
	@echo "make demo    see the whole system work, in namespaces, in two minutes"
	@echo "make test    all tests (root; without root those that need none)"
	@echo "make unit    those that need nothing and are quick"
	@echo "make check   lint, types, layers, rules of the house"
	@echo "make bench   the benchmark against the raw limit (root)"
	@echo "make test-box  what systemd makes of it, in containers of Debian 12 and 13 (root); SUITE=trixie for one"
	@echo "make test-vm   reboots, losses of power, another kernel, in a virtual machine (root); SUITE=trixie for 13"
	@echo "make deb     the Debian package, under build/deb; SUITE=trixie builds it for another release (root)"
	@echo "make install DESTDIR= PREFIX=/usr/local; make uninstall"

venv: $(STAMP)

$(STAMP): pyproject.toml
	@tools/need.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m compileall -q src
	@touch $@

demo: venv
	@if [ "$$(id -u)" -eq 0 ]; then tools/need.sh $(LAB) tc=iproute2 nft=nftables; \
	    tools/need.sh ss-server=shadowsocks-libev mptcpize=mptcpize || echo "going on with a built-in server"; fi
	@PACE="$(PACE)" HOLD="$(HOLD)" $(BIN)/python -m demo

# Fast ones first: a broken function is told in seconds, not after the laboratory.
test: venv
	@if [ "$$(id -u)" -eq 0 ]; then tools/need.sh $(TOOLS); tools/need.sh $(BOOT) || true; fi
	$(PYTEST) tests/unit tests/kernel tests/image/install tests/system tests/image/container tests/image/machine

unit: venv
	$(PYTEST) -m "not slow" tests/unit

check: lint types layers rules
lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: venv
	$(BIN)/mypy
layers: venv
	$(BIN)/lint-imports
rules: venv
	$(BIN)/python tools/rules.py

# A virtual environment of its own, made by Debian's interpreter; see tools/install.sh.
install uninstall:
	@if [ $@ = install ]; then tools/need.sh gcc=gcc python3-config=python3-dev; fi
	@DESTDIR="$(DESTDIR)" PREFIX="$(or $(PREFIX),/usr/local)" tools/install.sh $@

# What people read of the file's keys is written from the model that reads it; a test demands that it is up to date.
docs: venv
	$(BIN)/python tools/man.py build/man --file docs/file.md
	$(BIN)/python tools/verb_table.py docs/control.md
	$(BIN)/python tools/pictures.py docs/pictures

# The Debian package, with the virtual environment in it: build/deb/neo_*.deb.
# With SUITE it is built inside that release, for that release's Python.
deb:
ifdef SUITE
	@tools/need.sh mmdebstrap=mmdebstrap lintian=lintian
else
	@tools/need.sh gcc=gcc python3-config=python3-dev dh=debhelper dpkg-buildpackage=dpkg-dev fakeroot=fakeroot \
	    lintian=lintian g++=build-essential
endif
	tools/deb.sh $(SUITE)
	lintian --fail-on error --tag-display-limit 0 build/deb/$(SUITE)/neo_*.deb

test-install: venv
	$(PYTEST) tests/image/install

# Debian trees are made once, under build/debian, with neo built inside each, and containers booted on them with their
# own systemd. Disks of the same trees, under build/vm, boot in virtual machines with Debian's own kernel.
test-box: venv
	@tools/need.sh $(BOOT) $(LAB)
	$(PYTEST) tests/image/container

test-vm: venv
	@tools/need.sh $(BOOT)
	$(PYTEST) tests/image/machine

bench: venv
	@tools/need.sh $(TOOLS) iperf3=iperf3 wrk=wrk
	$(BIN)/python -m bench all

clean:
	rm -rf $(VENV) build dist demo/out bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
