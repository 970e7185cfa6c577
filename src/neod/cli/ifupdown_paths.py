"""What an interfaces file means for neo: macvlans, the NICs below, and all that has no place in neo.toml. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from neod.cli.ifupdown import Interfaces, Line, Stanza
from neod.cli.ifupdown_commands import HookRule, Macvlan, commands, macvlan, table_of, takes_away

COMMANDS: Final = ("pre-up", "up", "post-up", "down", "pre-down", "post-down")
MODES: Final = ("private", "vepa", "bridge")
KERNEL_TABLES: Final = (0, 253, 254, 255)


@dataclass(slots=True)
class Path:
    """One macvlan, or a NIC whose address has a table."""

    name: str
    place: str
    link: Macvlan | None = None  # None: a NIC
    ipv4: str = ""  # "dhcp", an address in CIDR form, or nothing
    gateway: str = ""
    mac: str = ""
    mtu: str = ""
    table: int | None = None

    @property
    def base(self) -> str:
        """The name without its number."""
        return self.name.rstrip("0123456789")

    @property
    def number(self) -> int:
        """The number in the name; -1 where neo would not write it so."""
        digits = self.name[len(self.base) :]
        return int(digits) if digits and self.base and (digits == "0" or digits[0] != "0") else -1

    def read(self, stanza: Stanza) -> Iterator[str]:
        """Take from *stanza* what concerns the path; yield what has no place in neo.toml."""
        if stanza.family == "inet" and stanza.method in ("dhcp", "static"):
            self.ipv4 = "dhcp" if stanza.method == "dhcp" else _address(stanza)
        elif stanza.method != "manual":
            yield f"{stanza.place}: iface {stanza.name} {stanza.family} {stanza.method}"
        for option in stanza.options:
            match option.word:
                case word if word in COMMANDS:
                    yield from self._read_command(option)
                case "address" | "netmask" | "broadcast" | "network" if stanza.method == "static":
                    pass
                case "gateway" if stanza.method == "static" and stanza.family == "inet":
                    self.gateway = option.rest
                case "hwaddress":
                    self.mac = option.rest.split()[-1].lower() if option.rest else ""
                case "mtu":
                    self.mtu = option.rest
                case _:
                    yield f"{option.place}: {option.word} {option.rest}"

    def _read_command(self, option: Line) -> Iterator[str]:
        """Take from one shell line what neo does by itself; yield the line if anything else is in it."""
        strange = False
        for words in commands(option.rest, self.name):
            made, table = macvlan(words), table_of(words)
            if made is not None and made.name == self.name:
                self.link = made
                self.mac, self.mtu = made.mac.lower() or self.mac, made.mtu or self.mtu
            elif table is not None:
                self.table = table
            else:
                strange = strange or not takes_away(words, self.name)
        if strange:
            yield f"{option.place}: {option.word} {option.rest}"

    def find_table(self, rule: HookRule) -> None:
        """Take the table that the hooks give it, where its stanza names none."""
        by_number = rule.base + self.number if rule.by_number and self.number >= 0 else None
        self.table = self.table or rule.exceptions.get(self.name, by_number)


@dataclass(slots=True)
class Imported:
    """What was understood, and what was not."""

    paths: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # for people, each with its place
    notes: list[str] = field(default_factory=list)

    @property
    def macvlans(self) -> list[Path]:
        """The macvlans, in the order of names and numbers."""
        return sorted((path for path in self.paths if path.link), key=lambda path: (path.base, path.number))

    @property
    def nics(self) -> list[Path]:
        return sorted((path for path in self.paths if not path.link), key=lambda path: path.name)


def understand(interfaces: Interfaces, rule: HookRule) -> Imported:
    """Return what *interfaces* and the table rule of its hooks mean."""
    found = Imported()
    by_name: dict[str, list[Stanza]] = {}
    for stanza in interfaces.stanzas:
        by_name.setdefault(stanza.name, []).append(stanza)
    for name, stanzas in by_name.items():
        if name != "lo":
            _add(name, stanzas, rule, found)
    found.left_out.extend(f"{line.place}: {line.word} {line.rest}" for line in interfaces.others)
    _drop_unused_nics(found)
    _part_tables(found)
    return found


def _add(name: str, stanzas: list[Stanza], rule: HookRule, found: Imported) -> None:
    path = Path(name, stanzas[0].place)
    left_out = [text for stanza in stanzas for text in path.read(stanza)]
    if path.link is None:
        if path.ipv4:
            path.find_table(rule)
            found.paths.append(path)
        return  # a NIC stays with ifupdown, whatever its other options are
    found.left_out.extend(left_out)
    if problem := _problem(path):
        found.left_out.append(f"{path.place}: all of {name}: {problem}")
        return
    if path.link.mode not in MODES:
        found.left_out.append(f"{path.place}: mode {path.link.mode}; neo has {', '.join(MODES)}")
    path.find_table(rule)
    found.paths.append(path)


def _problem(path: Path) -> str:
    """Return why neo cannot make this macvlan; empty if it can."""
    if not path.ipv4:
        return "it has no IPv4 address, and neo's macvlans are paths"
    if path.number < 0:
        return "neo numbers its macvlans, and this name ends in no number that it would write so"
    if path.ipv4 != "dhcp" and not path.gateway:
        return "a static address without a gateway is no path"
    return ""


def _address(stanza: Stanza) -> str:
    """Return the static address in CIDR form."""
    said = {option.word: option.rest for option in stanza.values("address", "netmask")}
    address, mask = said.get("address", ""), said.get("netmask", "")
    if "/" in address or not address:
        return address
    if re.fullmatch(r"\d+(\.\d+){3}", mask):
        bits = "".join(f"{int(byte) & 255:08b}" for byte in mask.split("."))
        mask = str(len(bits.rstrip("0")))
    return f"{address}/{mask or 24}"


def _drop_unused_nics(found: Imported) -> None:
    """Leave out NICs without a table: ifupdown configures them as before, and neo has no part in that."""
    parents = {path.link.parent for path in found.macvlans if path.link}
    for nic in found.nics:
        if nic.table is None or nic.table in KERNEL_TABLES or not found.macvlans:
            found.paths.remove(nic)
            if nic.name in parents:
                found.notes.append(f"{nic.name} stays with ifupdown alone: no hook gives it a table of its own.")
        else:
            found.notes.append(f"{nic.name} itself stays with ifupdown; neo follows its address.")


def _part_tables(found: Imported) -> None:
    """Leave out NICs whose table a macvlan has too: the hooks let them overwrite each other."""
    taken = Counter(table_in_use(path) for path in found.macvlans)
    for nic in found.nics:
        if taken[nic.table or 0]:
            found.paths.remove(nic)
            found.left_out.append(f"{nic.place}: a table for {nic.name}: {nic.table} belongs to a macvlan already")


def table_in_use(path: Path) -> int:
    """Return the table that a macvlan has: the hooks' or, without hooks, the number in its name."""
    return path.number if path.table is None else path.table


def most_common(values: Iterable[str]) -> str:
    """Return what most have, the first of equals; empty if there is nothing."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else ""
