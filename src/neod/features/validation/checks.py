"""What a single value of the file may be. Pure: each takes what TOML gave and returns what neo means by it.

A check raises ``InvalidValue`` with what is wrong and, where the example of
the key does not say it, what would be right.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from neod.features.validation.text import any_of, did_you_mean, show, toml
from neod.model.marks import RESERVED_TABLES
from neod.model.names import LINK_NAME_BYTES, is_link_name

T = TypeVar("T")

NOT_LINKS: Final = {"all": "a group of sysctls", "default": "a group of sysctls", "lo": "the loopback"}
MAC: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")

LAST_TABLE: Final = 20_000
"""The rule of a path has the priority 11000 + its table, and must come before the main table's, 32766."""

OTHER_SPACE: Final = re.compile(r"[^\S ]")

MPTCP_FLAGS: Final = ("subflow", "signal", "backup", "fullmesh")

MOST_INTERFACES: Final = 4000
"""Of one file. A kernel takes more; no network hands out as many addresses to one host."""

SECONDS: Final = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604800.0),
}
"""Units of systemd.time(7), without months and years. No unit means seconds there, and so here."""

SPAN: Final = re.compile(r" *([0-9]{1,9}(?:\.[0-9]{1,9})?) *([a-zµμ]*)")


class InvalidValue(ValueError):
    """Invalid value. *hint* describes a valid one; empty means that the key's example does."""

    def __init__(self, problem: str, hint: str = "", index: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint
        self.index = index  # of the invalid element, where the value is a list

    def each(self) -> "Sequence[InvalidValue]":
        """Return every fault of the value: a list can have many."""
        return (self,)

    def or_else(self, hint: str) -> "InvalidValue":
        """Return the same with *hint* where there is none."""
        return self if self.hint else InvalidValue(self.problem, hint, self.index)

    def at(self, index: int) -> "InvalidValue":
        """Return the same of an element of a list."""
        return InvalidValue(self.problem, self.hint, index)


ABSENT: Final = object()


class OldSpelling(InvalidValue):
    """A value that 0.1.0 took, and that is written otherwise: *meant*, which may be ``ABSENT``. It is a warning."""

    def __init__(self, problem: str, meant: object, index: int | None = None) -> None:
        super().__init__(problem, "leave it out" if meant is ABSENT else f"write {toml(meant)}", index)
        self.meant = meant

    def at(self, index: int) -> "InvalidValue":
        return OldSpelling(self.problem, self.meant, index)


class InvalidElements(InvalidValue):
    """A list with invalid elements; what the first is stands for all where one is enough."""

    def __init__(self, found: "Sequence[InvalidValue]") -> None:
        super().__init__(found[0].problem, found[0].hint, found[0].index)
        self.found = found

    def each(self) -> "Sequence[InvalidValue]":
        return self.found

    def or_else(self, hint: str) -> "InvalidValue":
        return InvalidElements([one.or_else(hint) for one in self.found])


TRUTH_IN_THE_ENVIRONMENT: Final[dict[str | float, bool]] = {
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


TRUTH_IN_0_1: Final[dict[str | float, bool]] = {
    **TRUTH_IN_THE_ENVIRONMENT,
    "t": True,
    "y": True,
    "f": False,
    "n": False,
    1: True,
    0: False,
}
"""What pydantic takes for truth: some keys of 0.1.0 were left to it."""


class EnvText(str):
    """A text out of an environment variable, where numbers and truth are text too."""

    __slots__ = ()


def text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue(f"{show(value)} is not a text in quotes")
    return str(value)


def integer(low: int, high: int) -> Callable[[object], int]:
    """Return the check for a whole number from *low* to *high*."""

    def check(value: object) -> int:
        if isinstance(value, EnvText) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidValue(f"{show(value)} is not a whole number")
        if not low <= value <= high:
            raise InvalidValue(f"{value} is not between {low} and {high}")
        return value

    return check


def truth(value: object) -> bool:
    """Return true or false; a text is neither, but in the environment, where everything is one."""
    if isinstance(value, EnvText) and (found := TRUTH_IN_THE_ENVIRONMENT.get(value.lower())) is not None:
        return found
    if not isinstance(value, bool):
        raise InvalidValue(f"{show(value)} is not true or false")
    return value


def truth_of_0_1(value: object) -> bool:
    """Return true or false, of a key of 0.1.0 that took more than these."""
    word = value.lower() if isinstance(value, str) else value
    if not isinstance(value, bool | EnvText) and isinstance(word, str | int | float) and word in TRUTH_IN_0_1:
        raise OldSpelling(f"{show(value)} is not true or false", TRUTH_IN_0_1[word])
    return TRUTH_IN_0_1[word] if isinstance(word, str) and word in TRUTH_IN_0_1 else truth(value)


def spaced(check: Callable[[object], T]) -> Callable[[object], T]:
    """Return *check* for texts in which 0.1.0 took all white space, line ends among it, for spaces."""

    def lenient(value: object) -> T:
        try:
            return check(value)
        except InvalidValue:
            if not isinstance(value, str) or not OTHER_SPACE.search(value):
                raise
            plain = " ".join(value.split())
            if not _takes(check, plain):
                raise
            raise OldSpelling(f"{show(value)} has white space that is no space", plain) from None

    return lenient


def _takes(check: Callable[[object], object], value: object) -> bool:
    try:
        check(value)
    except InvalidValue:
        return False
    return True


def table(value: object) -> int:
    """Return the number of a routing table that a path may have."""
    number = integer(-(2**31), 2**32)(value)
    if problem := table_wrong(number):
        raise InvalidValue(
            problem, f"write a number from 1 to {LAST_TABLE} other than 253, 254 and 255, e.g. table = 33"
        )
    return number


def table_wrong(number: int) -> str:
    """Return why no path may have the table; empty if one may."""
    if number in RESERVED_TABLES:
        return f"table {number} ({RESERVED_TABLES[number]}) is the kernel's own"
    return "" if 1 <= number <= LAST_TABLE else f"table {number} is not between 1 and {LAST_TABLE}"


def one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value in words:
            return str(value)
        guess = did_you_mean(value, words) if isinstance(value, str) else ""
        raise InvalidValue(f"{show(value)} is not {any_of(words)}", guess if guess.startswith("did") else "")

    return check


def flags(*words: str) -> Callable[[object], tuple[str, ...]]:
    """Return the check for a list of different *words*."""
    one = one_of(*words)

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue(f"{show(value)} is not a list in brackets")
        checked = each(one, value)
        if twice := first_twice(checked):
            raise InvalidValue(f"{show(twice)} stands there twice")
        return checked

    return check


def mptcp_flags(value: object) -> tuple[str, ...]:
    """Return flags that an MPTCP endpoint can have together.

    Source: net/mptcp/pm_netlink.c, "flags mustn't have both signal and fullmesh".
    """
    checked = flags(*MPTCP_FLAGS)(value)
    if "signal" in checked and "fullmesh" in checked:
        raise InvalidValue("the kernel refuses signal together with fullmesh", "write one of the two")
    if "fullmesh" in checked and "subflow" not in checked:
        raise InvalidValue("fullmesh says how subflows are made, and there are none", 'write ["subflow", "fullmesh"]')
    return checked


def each(check: Callable[[object], T], items: Sequence[object]) -> tuple[T, ...]:
    """Return every item checked.

    Raises:
        InvalidElements: with every item that is invalid.
    """
    found: list[T] = []
    wrong: list[InvalidValue] = []
    for index, item in enumerate(items):
        try:
            found.append(check(item))
        except InvalidValue as invalid:
            wrong.append(invalid.at(index))
    if wrong:
        raise InvalidElements(wrong)
    return tuple(found)


def first_twice(items: Iterable[str]) -> str | None:
    """Return the first item that comes a second time."""
    seen: set[str] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def duration_s(low: float, high: float) -> Callable[[object], float]:
    """Return the check for a time span of systemd.time(7), as seconds, from *low* to *high*."""

    def check(value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            hint = f'write it as a text with one, e.g. "{value}s"' if low <= value <= high else ""
            raise InvalidValue(f"{show(value)} has no unit", hint)
        seconds = seconds_of(text(value))
        if not low <= seconds <= high:
            raise InvalidValue(f"{show(value)} is not between {low:g} s and {high:g} s")
        return seconds

    return spaced(check)


def seconds_of(span: str) -> float:
    """Return the seconds of ``1h 30min``, ``20ms``, ``2.5s`` or ``90``."""
    total, pos = 0.0, 0
    while match := SPAN.match(span, pos):
        if match[2] not in SECONDS:
            raise InvalidValue(
                f"'{match[2]}' in {show(span)} is not a unit of time", "the units are us, ms, s, min, h, d, w"
            )
        total, pos = total + float(match[1]) * SECONDS[match[2]], match.end()
    if pos == 0 or span[pos:].strip(" "):
        raise InvalidValue(f"{show(span)} is not a duration")
    return total


def link_name(value: object) -> str:
    name = text(value)
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > LINK_NAME_BYTES:
        raise InvalidValue(
            f"{show(name)} has {size} bytes", f"the kernel takes at most {LINK_NAME_BYTES} for an interface"
        )
    if not is_link_name(name):
        raise InvalidValue(
            f"{show(name)} is not a name for an interface",
            "letters, digits, '_', '.' and '-' make one; the first is no '.' or '-'",
        )
    if name in NOT_LINKS:
        raise InvalidValue(f"{show(name)} is {NOT_LINKS[name]}, not a NIC", "name a NIC, as `ip link` lists it")
    return name


def group_name(value: object) -> str:
    """Return the name of a group of interfaces: what comes before the number in theirs."""
    name = link_name(value)
    if len(name) == LINK_NAME_BYTES:
        raise InvalidValue(
            f"{show(name)} leaves no room for a number", f"name and number have {LINK_NAME_BYTES} bytes together"
        )
    return name


def mac(value: object) -> str:
    """Return a MAC that an interface can have, in lower case with colons."""
    address = text(value).lower()
    if not MAC.fullmatch(address):
        digits = re.sub(r"[-.: ]|^0x", "", _padded(address))
        plain = re.fullmatch(r"[0-9a-f]{12}", digits)
        hint = f'write "{":".join(re.findall("..", digits))}"' if plain else ""
        raise InvalidValue(f"{show(value)} is not a MAC{' as ip writes it' if plain else ''}", hint)
    if address == "00:00:00:00:00:00":
        raise InvalidValue("a MAC of zeros is no address")
    first = int(address[:2], 16)
    if first & 1:
        raise InvalidValue(
            f"{show(value)} has the multicast bit set, and is no address of one interface",
            f'the first byte must be even, e.g. "02{address[2:]}"',
        )
    return address


def _padded(address: str) -> str:
    """Return six numbers with colons or dashes, as some programs shorten them, with two digits each."""
    parts = re.split("[-:]", address)
    return "".join(part.zfill(2) for part in parts) if len(parts) == 6 else address


def mac_or_auto(value: object) -> str:
    """Return a MAC, or ``auto``."""
    if value == "auto":
        return "auto"
    try:
        return mac(value)
    except InvalidValue as invalid:
        if invalid.hint or not isinstance(value, str):
            raise
        raise InvalidValue(invalid.problem, 'write "auto" or six bytes, e.g. "02:4e:65:6f:00:03"') from None


def macs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidValue(f"{'an empty list' if value == [] else show(value)} is not a list of MACs")
    return each(mac, value)


@spaced
def numbers(value: object) -> tuple[int, ...]:
    """Return the numbers of ``1-5,9``, in rising order."""
    given = text(value) if not isinstance(value, int) else None
    if given is None:
        raise InvalidValue(f"{show(value)} is not a text in quotes", f'write e.g. ids = "{show(value)}"')
    found: list[int] = []
    for part in given.split(","):
        match = re.fullmatch(" *([0-9]{1,5}) *(?:- *([0-9]{1,5}) *)?", part)
        if match is None:
            raise InvalidValue(f"{show(part.strip())} in {show(given)} is not a number or a range")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise InvalidValue(f"the range {first}-{last} runs backwards", f"write {last}-{first}")
        found += range(first, last + 1)
        if len(found) > MOST_INTERFACES:
            raise InvalidValue(f"{show(given)} is more than {MOST_INTERFACES} interfaces")
    if twice := first_twice(map(str, found)):
        raise InvalidValue(f"{twice} stands in {show(given)} twice")
    return tuple(sorted(found))
