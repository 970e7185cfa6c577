# The two commands of the README: make demo, make test. Each sets up all it needs.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
LAB     := ip=iproute2 nsenter=util-linux dnsmasq=dnsmasq-base ping=iputils-ping ps=procps
TOOLS   := $(LAB) kea-dhcp4=kea-dhcp4-server nft=nftables iptables-legacy=iptables tc=iproute2 socat=socat \
           haproxy=haproxy curl=curl tcpdump=tcpdump conntrack=conntrack
PYTEST  := $(BIN)/python -m pytest

.PHONY: help venv demo test unit check lint types layers bench install uninstall clean

help:
	@echo "make demo    see it work, in namespaces, in under a minute (root)"
	@echo "make test    all tests (root; without root those that need none)"
	@echo "make check   lint, types, layers"
	@echo "make bench   the benchmark against the raw limit (root)"
	@echo "make install DESTDIR= PREFIX=/usr/local"

venv: $(STAMP)

$(STAMP): pyproject.toml
	@tools/need.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m compileall -q src
	@touch $@

demo: venv
	@if [ "$$(id -u)" -eq 0 ]; then tools/need.sh $(LAB); fi
	@$(BIN)/python -m demo.campus

# Fast ones first: a broken function is told in seconds, not after the laboratory.
test: venv
	@if [ "$$(id -u)" -eq 0 ]; then tools/need.sh $(TOOLS); fi
	$(PYTEST) tests/unit tests/laws tests/kinds tests/contract tests/fuzz tests/netns tests/scenarios tests/e2e

unit: venv
	$(PYTEST) tests/unit tests/laws tests/kinds

check: lint types layers
lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: venv
	$(BIN)/mypy
layers: venv
	$(BIN)/lint-imports

bench: venv
	@tools/need.sh $(TOOLS)
	$(BIN)/python -m bench all

clean:
	rm -rf $(VENV) build dist demo/out bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
