"""The C libraries that python-iptables writes legacy tables with, found without running other programs."""

import ctypes
from typing import Final

NEEDED: Final = {"ip4tc": "libip4tc2", "ip6tc": "libip6tc2", "xtables": "libxtables12"}
"""Names of the libraries, and of their Debian packages."""


def find_library(name: str) -> str | None:
    """Return the file name of a library; ctypes' own search runs ldconfig, gcc and ld, for half a second."""
    for number in range(16):
        candidate = f"lib{name.removeprefix('lib')}.so.{number}"
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return candidate
    return None


def missing() -> tuple[str, ...]:
    """Return the names of those that are not installed."""
    return tuple(name for name in NEEDED if find_library(name) is None)


def missing_text() -> str:
    """Return what is not installed, and what to do; empty if nothing is missing."""
    names = missing()
    files = ", ".join(f"lib{name}.so" for name in names)
    packages = " ".join(NEEDED[name] for name in names)
    advice = f'install the Debian package iptables, or {packages}; or write [nat] backend = "nftables"'
    return f"legacy tables cannot be written without {files}: {advice}" if names else ""
