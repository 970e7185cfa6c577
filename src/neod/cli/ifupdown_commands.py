"""What the shell lines of an interfaces file, and the hooks beside it, say about macvlans and routing tables. Pure.

Shell cannot be understood in general. These are the forms that people wrote: ``ip link add`` and ``ip rule``/``ip
route`` in stanzas, and in the hooks a table taken from the number in the interface's name, with exceptions.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

KERNEL_MODE: Final = "vepa"
"""What a macvlan gets of which nothing is said. Source: drivers/net/macvlan.c, macvlan_common_newlink."""

SEPARATORS: Final = frozenset(("&&", "||", ";", "|"))
NUMBER_OF_NAME: Final = re.compile(r"""tr\s+-d?c|##\*\[!0-9\]|\[\^0-9\]|\[!0-9\]|\\D|grep\s+-\w*o|\[a-z\]|\#[a-z]+\}""")
"""Ways to take the number out of a name: ``tr -dc 0-9``, ``${IFACE##*[!0-9]}``, ``sed s/[^0-9]//g``, ``grep -o``,
``${IFACE#neo}``."""

TABLE_WORD: Final = r"[A-Za-z_]*(?:table|tbl|rt|num|id)[A-Za-z_]*"
CASE: Final = re.compile(rf"^\s*\(?([\w.|-]+)\)\s*(?:{TABLE_WORD}=|echo\s+)[\"']?(\d+)", re.M | re.I)
TEST: Final = re.compile(
    rf"""["']?\$\{{?(?:IFACE|1)\}}?["']?\s*(?:=|==|-eq)\s*["']?([\w.-]+)["']?\s*\]\]?"""
    rf"""(?:(?!\bfi\b|\belse\b|\belif\b)[\s\S]){{0,120}}?{TABLE_WORD}=["']?(\d+)""",
    re.I,
)
BASE: Final = re.compile(rf"{TABLE_WORD}=[\"']?\$\(\(\s*(\d+)\s*\+", re.I)


@dataclass(frozen=True, slots=True)
class Macvlan:
    """What one ``ip link add … type macvlan`` makes."""

    name: str
    parent: str
    mac: str = ""
    mode: str = KERNEL_MODE
    mtu: str = ""


@dataclass(frozen=True, slots=True)
class HookRule:
    """How the hooks find the table of an interface."""

    exceptions: dict[str, int] = field(default_factory=dict)
    by_number: bool = False
    base: int = 0


def commands(text: str, interface: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell line, split into words, with ``$IFACE`` filled in."""
    filled = re.sub(r"\$\{IFACE\}|\$IFACE\b", interface, text)
    lexer = shlex.shlex(filled, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if word in SEPARATORS:
                if words:
                    yield words
                words = []
            else:
                words.append(word)
    except ValueError:  # an open quote: not a line that we could understand
        return
    if words:
        yield words


def ip_arguments(words: list[str]) -> list[str]:
    """Return what follows ``ip`` and its options; nothing if it is another command."""
    if not words or words[0].rpartition("/")[2] != "ip":
        return []
    return [word for word in words[1:] if not re.fullmatch(r"-(4|6|o|s|d|br\w*|f\w*)", word)]


def macvlan(words: list[str]) -> Macvlan | None:
    """Return what the command makes, if it makes a macvlan."""
    match ip_arguments(words):
        case ["l" | "li" | "lin" | "link", "a" | "add", *rest] if "macvlan" in rest:
            return _macvlan(rest)
    return None


def _macvlan(words: list[str]) -> Macvlan | None:
    said: dict[str, str] = {}
    left = iter(words)
    for word in left:
        key = {"dev": "name", "addr": "address"}.get(word, word)
        if key in ("link", "name", "address", "mtu", "mode"):
            said[key] = next(left, "")
        elif key == "type":
            if next(left, "") != "macvlan":
                return None
        elif "name" not in said:
            said["name"] = word
    if not said.get("name") or not said.get("link"):
        return None
    return Macvlan(
        said["name"], said["link"], said.get("address", ""), said.get("mode", KERNEL_MODE), said.get("mtu", "")
    )


def table_of(words: list[str]) -> int | None:
    """Return the routing table that an ``ip rule`` or ``ip route`` names."""
    match ip_arguments(words):
        case [("ru" | "rule" | "r" | "route" | "ro"), _, *rest]:
            for key, value in pairwise(rest):
                if key in ("table", "lookup") and value.isdigit():
                    return int(value)
    return None


def takes_away(words: list[str], interface: str) -> bool:
    """Whether the command only deletes *interface*, or sets it up or down: neod does that by itself."""
    match ip_arguments(words):
        case ["link" | "l" | "li", "del" | "delete" | "d", *rest]:
            return interface in rest
        case ["link" | "l" | "li", "set", *rest]:
            return interface in rest and rest[-1] in ("up", "down")
    return words in (["true"], [":"])


def hook_rule(texts: Iterable[str]) -> HookRule:
    """Return how the hooks find the table; hooks that neither name ``ip rule`` nor ``ip route`` say nothing."""
    exceptions: dict[str, int] = {}
    by_number, base = False, 0
    for text in texts:
        script = re.sub(r"(?m)^\s*#.*$", "", text)
        if "IFACE" not in script or not re.search(r"\bip\b[^\n]*\b(rule|route)\b[^\n]*\b(table|lookup)\b", script):
            continue
        for names, table in (*CASE.findall(script), *TEST.findall(script)):
            exceptions |= dict.fromkeys(names.split("|"), int(table))
        by_number = by_number or bool(NUMBER_OF_NAME.search(script))
        if found := BASE.search(script):
            base = int(found[1])
    return HookRule(exceptions, by_number, base)
