"""How the hooks beside an interfaces file find the table of an interface. Pure.

These are the forms that people wrote: a table taken from the number in the interface's name, perhaps with something
added, and exceptions. Routes and rules of other forms, and lines that make macvlans, are left out with their place.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from neod.cli.ifupdown import Line
from neod.cli.ifupdown_commands import read

LONGEST: Final = 4096  # characters of a line that is read
NUMBER_OF_NAME: Final = re.compile(
    r"""tr\s{1,9}-d?c|##\*\[!0-9\]|\[\^0-9\]|\[!0-9\]|\\D|grep\s{1,9}-\w{0,9}o|\[a-z\]|\#[a-z]{1,15}\}"""
)
"""Ways to take the number out of a name: ``tr -dc 0-9``, ``${IFACE##*[!0-9]}``, ``sed s/[^0-9]//g``, ``grep -o``,
``${IFACE#neo}``."""

TABLE_WORD: Final = r"\b[A-Za-z_]{0,20}(?:table|tbl|rt|num|id)[A-Za-z_]{0,20}"
CASE: Final = re.compile(rf"^[ \t]*+\(?([\w.|-]+)\)\s*+(?:{TABLE_WORD}=|echo\s++)[\"']?(\d+)", re.M | re.I)
TEST: Final = re.compile(
    rf"""["']?\$\{{?(?:IFACE|1)\}}?["']?\s{{0,9}}(?:=|==|-eq)\s{{0,9}}["']?([\w.-]{{1,15}})["']?\s{{0,9}}\]\]?"""
    rf"""(?:(?!\bfi\b|\belse\b|\belif\b)[\s\S]){{0,120}}?{TABLE_WORD}=["']?(\d+)""",
    re.I,
)
BASE: Final = re.compile(rf"{TABLE_WORD}=[\"']?\$\(\(\s{{0,9}}(\d{{1,9}})\s{{0,9}}\+", re.I)
ROUTING: Final = re.compile(r"(?:^|[\s/;&|(])ip\s[^#]{0,200}?\b(?:ru|rule|r|ro|route)\s")
ADDS: Final = re.compile(r"\b(?:a|add|append|replace|change)\s")
SUBSTITUTED: Final = re.compile(r"\$\{[^{}]{0,200}\}|\$\([^()]{0,200}\)|`[^`]{0,200}`|\$\w{1,64}")


@dataclass(frozen=True, slots=True)
class HookRule:
    """How the hooks find the table of an interface, and what else they do."""

    exceptions: dict[str, int] = field(default_factory=dict)
    by_number: bool = False
    base: int = 0
    left_out: tuple[tuple[Line, str], ...] = ()

    def table(self, name: str, number: int) -> int | None:
        """Return the table of the interface *name*, with *number* in it."""
        by_number = self.base + number if self.by_number and number >= 0 else None
        return self.exceptions.get(name, by_number)


def hook_rule(hooks: Iterable[tuple[str, str]]) -> HookRule:
    """Return what *hooks*, names and texts, say; those that neither name ``ip rule`` nor ``ip route`` say nothing."""
    exceptions: dict[str, int] = {}
    left_out: list[tuple[Line, str]] = []
    by_number, base = False, 0
    for name, text in hooks:
        lines = list(_lines(name, text))
        left_out.extend((line, "neo reads no scripts that make macvlans") for line in lines if "macvlan" in line.rest)
        script = "\n".join(line.rest for line in lines)
        routing = [line for line in lines if ROUTING.search(line.rest)]
        if "IFACE" not in script or not routing:
            continue
        found = {
            one: int(table)
            for names, table in (*CASE.findall(script), *TEST.findall(script))
            for one in names.split("|")
        }
        number, plus = bool(NUMBER_OF_NAME.search(script)), BASE.search(script)
        exceptions |= found
        by_number, base = by_number or number, int(plus[1]) if plus else base
        left_out.extend(_strange(routing, bool(found) or number))
    return HookRule(exceptions, by_number, base, tuple(left_out))


def _lines(name: str, text: str) -> Iterator[Line]:
    for number, raw in enumerate(text.split("\n"), 1):
        if (line := raw.strip()) and not line.startswith("#"):
            yield Line("", line[:LONGEST], f"{name}:{number}")


def _strange(routing: list[Line], finds_table: bool) -> Iterator[tuple[Line, str]]:
    """Yield the lines that add other routes and rules than neo makes, or all where the table is not known."""
    for line in routing:
        if ADDS.search(line.rest):
            said = SUBSTITUTED.sub("VALUE", re.sub(r"\$\{?IFACE\}?", "IFACE", line.rest))
            reasons = [step.why_not for step in read(said, "IFACE", {}) if step.why_not]
            if reasons or not finds_table:
                yield line, "; ".join(reasons) or "neo does not see which table the hook takes"
