"""One interface as the lines of an interfaces file describe it: what each may say, and what has to fit. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import Final

from neod.cli.ifupdown import Line
from neod.features.validation import addresses, checks
from neod.features.validation.checks import InvalidValue

MODES: Final = ("private", "vepa", "bridge")
LAST_WINS: Final = frozenset(("mac", "mtu", "mode"))


def _mtu(text: str) -> int:
    return checks.integer(576, 65535)(int(text) if re.fullmatch(r"[0-9]{1,6}", text) else text)


def _mode(text: str) -> str:
    if text in MODES:
        return text
    raise InvalidValue(f"mode {text}; neo has {', '.join(MODES)}, and private is written")


def _ipv4(text: str) -> str | IPv4Interface:
    """Return ``dhcp`` or an address, which ``ip`` and ``ifconfig`` also take with a mask."""
    ip, _, prefix = text.partition("/")
    return text if text == "dhcp" else addresses.host_address(with_prefix(ip, prefix, False) if "." in prefix else text)


CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    "parent": checks.link_name, "mac": checks.mac, "mtu": _mtu, "mode": _mode, "ipv4": _ipv4,
    "gateway": addresses.address, "moved": str,
}  # fmt: skip


@dataclass(slots=True)
class Told:
    """The lines that are left out, each with its reasons."""

    reasons: dict[str, list[str]] = field(default_factory=dict)  # by place

    def add(self, line: Line, why: str) -> None:
        """Note why *line*, or a part of it, is left out."""
        known = self.reasons.setdefault(line.place, [])
        if why not in known:
            known.append(why)


@dataclass(slots=True)
class Path:
    """One interface, as it is read: a macvlan, if it has a parent."""

    name: str
    said: dict[str, object] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)  # where it is said, by key
    has_to_be: list[tuple[str, str, Line]] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The name without its number."""
        return self.name.rstrip("0123456789")

    @property
    def number(self) -> int:
        """The number in the name; -1 where neo would not write it so."""
        digits = self.name[len(self.base) :]
        fits = digits == "0" or (digits[:1] not in ("", "0") and len(digits) <= 5)
        return int(digits) if self.base and fits else -1

    @property
    def ipv4(self) -> str:
        """Return ``dhcp``, an address in CIDR form, or nothing."""
        return str(self.said.get("ipv4", ""))

    @property
    def table(self) -> int | None:
        table = self.said.get("table")
        return table if isinstance(table, int) else None

    @property
    def is_macvlan(self) -> bool:
        return "parent" in self.said

    def takes(self, line: Line) -> bool:
        """Whether neo takes over what *line* says of it: of a NIC, only its table."""
        rules = [one for key, _, one in self.has_to_be if key in ("ip", "net", "table")]
        return self.is_macvlan or line == self.lines.get("table") or line in rules

    def text(self, key: str) -> str:
        """Return what is said of *key*; empty if nothing is."""
        return str(self.said.get(key, ""))

    def take(self, key: str, value: str, line: Line, told: Told, tables: Mapping[str, int]) -> None:
        """Take what *line* says of *key*, or tell why not."""
        if key.startswith("="):
            self.has_to_be.append((key[1:], value, line))
            return
        try:
            found = table_number(value, tables) if key == "table" else CHECKS[key](value)
        except InvalidValue as invalid:
            told.add(line, invalid.problem)
            return
        if key in self.said and self.said[key] != found:
            if key not in LAST_WINS:
                told.add(line, f"{self.name} has {key} {self.text(key)} already")
                return
            if key in self.lines and self.lines[key] != line:
                told.add(self.lines[key], f"{line.place} says another {key}")
        self.said[key], self.lines[key] = found, line

    def check(self, told: Told, tables: Mapping[str, int]) -> None:
        """Tell the lines that only fit another address or table than it has."""
        ipv4 = self.said.get("ipv4")
        is_now = {"ip": self.ipv4.partition("/")[0]}
        if isinstance(ipv4, IPv4Interface):
            net = ipv4.network
            is_now |= {"net": str(net), "network": str(net.network_address), "broadcast": str(net.broadcast_address)}
        for key, value, line in self.has_to_be:
            now = is_now.get(key, self.text(key))
            meant = str(tables.get(value, value)) if key == "table" else value
            if meant not in (now, {"broadcast": "+", "net": self.ipv4}.get(key)):
                told.add(line, f"{value}, and {self.name} has {now or 'none'}")


def table_number(text: str, tables: Mapping[str, int]) -> int:
    """Return the number of a table, which may be said by name.

    Raises:
        InvalidValue: it is none that a path may have.
    """
    if text not in tables and not re.fullmatch(r"0|[1-9][0-9]{0,9}", text):
        raise InvalidValue(f"table {text} has no number in rt_tables: write its number instead")
    number = tables.get(text, -1) if text in tables else int(text)
    if problem := checks.table_wrong(number):
        raise InvalidValue(problem)
    return number


def with_prefix(address: str, mask: str, is_inet: bool) -> str:
    """Return the address in CIDR form; without a mask, the one of its class, as ifupdown takes it.

    Source: archcommon.c of ifupdown, compute_v4_mask.
    """
    if ":" in address:
        addresses.host_address(address)
    ip, slash, prefix = address.partition("/")
    prefix = prefix if slash else mask
    first = int(ip.partition(".")[0]) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", ip) else -1
    if not prefix and is_inet and first >= 0:
        prefix = "8" if first < 128 else "16" if first < 192 else "24" if first < 224 else "32"
    try:
        return (
            str(IPv4Interface(f"{ip}/{prefix}"))
            if prefix and not _is_hostmask(prefix)
            else str(addresses.host_address(ip))
        )
    except ValueError as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue(f"{ip} with netmask {prefix} is no address of a network in neo") from None


def _is_hostmask(prefix: str) -> bool:
    """Whether it is a mask in the reverse, which Python takes, and no other program."""
    return "." in prefix and not prefix.startswith(("255.", "128.", "192.", "224.", "240.", "248.", "252.", "254."))
