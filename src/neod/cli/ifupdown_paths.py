"""What an interfaces file means for neo: macvlans, the NICs below, and all that has no place in neo.toml. Pure.

The law: every line of an interface that is in the result, and every line with ``macvlan`` in it, is either rendered or
told, with its place and the reason.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from itertools import groupby
from typing import Final

from neod.cli.ifupdown import Interfaces, Line, whole
from neod.cli.ifupdown_hooks import HookRule
from neod.cli.ifupdown_ledger import DOWN, UP, Ledger, without_alias
from neod.cli.ifupdown_path import Path, Told
from neod.cli.text import cut
from neod.features.validation import addresses, checks
from neod.features.validation.checks import InvalidValue
from neod.observability.streams import printable

TABLE_STEP: Final = 1000
MOST_OF_A_REASON: Final = 400  # characters
KERNEL_TABLES: Final = {"default": 253, "main": 254, "local": 255}
ONLY_A_TEMPLATE: Final = "others inherit from it, and no auto line names it"
TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]++")


@dataclass(slots=True)
class Imported:
    """What was understood, and what was not."""

    paths: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # for people, each with its place
    notes: list[str] = field(default_factory=list)

    @property
    def macvlans(self) -> list[Path]:
        """The macvlans, in the order of names and numbers."""
        return sorted((path for path in self.paths if path.is_macvlan), key=lambda path: (path.base, path.number))

    @property
    def nics(self) -> list[Path]:
        return sorted((path for path in self.paths if not path.is_macvlan), key=lambda path: path.name)


def understand(interfaces: Interfaces, rule: HookRule, tables: Mapping[str, int] | None = None) -> Imported:
    """Return what *interfaces* and the table rule of its hooks mean; *tables*: the numbers of tables by name."""
    ledger = Ledger({**(tables or {}), **KERNEL_TABLES})
    stanzas = list(whole(interfaces))
    for one in stanzas:
        ledger.options(one)
    for one in stanzas:
        ledger.commands(one, (*UP[1:], *DOWN))
    started = {without_alias(name) for line in interfaces.auto for name in line.words}
    templates = {one.stanza.base for one in stanzas} - started
    found = Imported()
    macvlans = {name: path for name, path in ledger.paths.items() if path.is_macvlan}
    refused = {name: why for name, path in macvlans.items() if (why := _problem(path, macvlans, templates))}
    found.paths = _different([path for name, path in macvlans.items() if name not in refused], refused, ledger.told)
    _tables(found, [path for path in ledger.paths.values() if not path.is_macvlan and path.ipv4], rule, ledger.told)
    for path in found.paths:
        path.check(ledger.told, ledger.tables)
    _note(found, refused, started)
    kept = {path.name: path for path in found.paths}
    told = (*_law(interfaces, ledger, refused, kept), *rule.left_out)
    found.left_out = [
        f"{printable(line.place)}: {line.text}: {printable(cut(why, MOST_OF_A_REASON))}" for line, why in told
    ]
    return found


def _problem(path: Path, macvlans: Mapping[str, Path], templates: Collection[str]) -> str:
    """Return why neo cannot make this macvlan; empty if it can."""
    if path.name in templates:
        return ONLY_A_TEMPLATE
    if path.number < 0:
        return (
            f"neo numbers its macvlans, and this name ends in no number that it would write so; {path.base[:13]}1 does"
        )
    if wrong := _name_problem(path.name):
        return wrong
    if "moved" in path.said:
        return f"it is given to a {path.text('moved')}, and neo has no place for that"
    if path.text("parent") in macvlans:
        return f"{path.text('parent')}, the NIC below, is a macvlan itself"
    match path.said.get("ipv4"), path.said.get("gateway"):
        case None, _:
            return "it has no IPv4 address, and neo's macvlans are paths"
        case IPv4Interface(), None:
            return "a static address without a gateway is no path"
        case IPv4Interface() as address, IPv4Address() as gateway:
            invalid = addresses.gateway_problem(address, gateway)
            return invalid.problem if invalid else ""
    return ""


def _name_problem(name: str) -> str:
    try:
        return checks.link_name(name) and ""
    except InvalidValue as invalid:
        return f"{invalid.problem}; {invalid.hint}"


def _different(paths: list[Path], refused: dict[str, str], told: Told) -> list[Path]:
    """Return those that may be in one file; a MAC that another has is left out."""
    macs: dict[object, str] = {}
    addresses: dict[object, str] = {}
    kept: list[Path] = []
    for path in paths:
        ip = path.ipv4.partition("/")[0]
        if ip != "dhcp" and addresses.setdefault(ip, path.name) != path.name:
            refused[path.name] = f"{addresses[ip]} has {ip} already"
        elif len(kept) == checks.MOST_INTERFACES:
            refused[path.name] = f"neo takes {len(kept)} interfaces"
        else:
            kept.append(path)
            mac = path.said.get("mac")
            if mac and macs.setdefault(mac, path.name) != path.name:
                told.add(path.lines["mac"], f"{macs[mac]} has {mac} already: {path.name} gets one of its own")
                del path.said["mac"]
            if path.text("gateway") and ip == "dhcp":
                told.add(path.lines["gateway"], f"{path.name} takes the gateway of its lease")
    return kept


def _tables(found: Imported, nics: list[Path], rule: HookRule, told: Told) -> None:
    """Give every macvlan a table of its own, and keep the NICs that have one.

    What the stanza says goes first, then what the hooks say, then the number in the name, with a base where it cannot
    be. NICs without a table are left out: ifupdown configures them as before, and neo has no part in that.
    """
    taken: dict[int, str] = {}
    for path in found.macvlans:
        if path.table is not None and taken.setdefault(path.table, path.name) != path.name:
            told.add(path.lines["table"], f"table {path.table} is that of {taken[path.table]} already")
            del path.said["table"]
    for path in (*found.macvlans, *nics):
        if path.table is None and (table := rule.table(path.name, path.number)) is not None:
            problem = checks.table_wrong(table) or (f"{taken[table]} has it already" if table in taken else "")
            if problem and path.is_macvlan:
                found.notes.append(f"The hooks give {path.name} table {table}, which cannot be: {problem}.")
                continue
            path.said["table"] = table
            taken.setdefault(table, path.name)
    parents = {path.text("parent") for path in found.macvlans}
    for nic in sorted(nics, key=lambda path: path.name):
        if nic.table is None or checks.table_wrong(nic.table) or not found.macvlans or _name_problem(nic.name):
            if nic.name in parents:
                found.notes.append(f"{nic.name} stays with ifupdown alone: no hook gives it a table of its own.")
        elif taken.setdefault(nic.table, nic.name) != nic.name:
            found.notes.append(
                f"A table for {nic.name} is left out: {nic.table} belongs to {taken[nic.table]} already."
            )
        else:
            found.paths.append(nic)
            found.notes.append(f"{nic.name} itself stays with ifupdown; neo follows its address.")
    for base, members in groupby(found.macvlans, key=lambda path: path.base):
        _own_tables([path for path in members if path.table is None], base, taken, found.notes)


def _own_tables(paths: list[Path], base: str, taken: dict[int, str], notes: list[str]) -> None:
    """Give tables to those of a group for which ifupdown has none."""
    if not paths:
        return
    free = (number for number in range(TABLE_STEP, checks.LAST_TABLE) if number not in taken)
    for start in range(0, checks.LAST_TABLE, TABLE_STEP):
        tables = [start + path.number for path in paths]
        if not any(checks.table_wrong(table) or table in taken for table in tables):
            break
    else:
        tables = [next(free) for _ in paths]
    if tables[0] != paths[0].number:
        notes.append(
            f"ifupdown has no tables for {base}N, or none that neo can take: {base}{paths[0].number} gets {tables[0]}."
        )
    for path, table in zip(paths, tables, strict=True):
        path.said["table"] = table
        taken[table] = path.name


def _note(found: Imported, refused: Mapping[str, str], started: Collection[str]) -> None:
    idle = [path.name for path in found.macvlans if path.name not in started and "*" not in "".join(started)]
    if idle:
        more = f" and {len(idle) - 8} more" if len(idle) > 8 else ""
        found.notes.append(
            f"In no auto line, made by ifupdown when asked, and by neod always: {', '.join(idle[:8])}{more}."
        )


def _law(
    interfaces: Interfaces, ledger: Ledger, refused: Mapping[str, str], kept: Mapping[str, Path]
) -> Iterator[tuple[Line, str]]:
    """Yield what is left out of all lines that are about a macvlan, or an interface that is kept, and why."""
    strange = {line.place: why for line, why in interfaces.strange}
    starts = {line.place for line in interfaces.auto}
    names = refused.keys() | kept.keys()
    marks = names | {path.ipv4.partition("/")[0] for name, path in ledger.paths.items() if name in names}
    seen, unsaid = set(), dict(refused)
    for line in interfaces.lines:
        words = set(TOKEN.findall(line.rest))
        users = words & names if line.place in starts else dict.fromkeys(ledger.users.get(line.place, ()))
        about = "macvlan" in line.word or "macvlan" in line.rest or any(name in names for name in users)
        if line.place in seen or not (about or line.place in strange or words & (marks - {"", "dhcp"})):
            continue
        seen.add(line.place)
        reasons = [strange[line.place]] if line.place in strange else ledger.told.reasons.get(line.place, [])
        if line.place in starts:
            reasons = [f"{name} is left out" for name in line.words if name not in kept and _is_about(name, names)]
        elif line.place not in strange:
            reasons = [*reasons, *_not_kept(line, users, unsaid, refused, kept, not reasons)]
            others = sorted(ledger.targets.get(line.place, set()) - refused.keys()) if not reasons else ()
            reasons += [f"{one} stays with ifupdown" for one in others if one not in kept or not kept[one].takes(line)]
        if reasons:
            yield line, "; ".join(reasons)


def _is_about(name: str, names: Collection[str]) -> bool:
    return name in names or "macvlan" in name


def _not_kept(
    line: Line,
    users: Iterable[str],
    unsaid: dict[str, str],
    refused: Mapping[str, str],
    kept: Mapping[str, Path],
    alone: bool,
) -> Iterator[str]:
    """Yield why a line is not rendered, for those that it is about: *unsaid* are reasons that no line had yet."""
    rendered = [kept[name] for name in users if name in kept]
    for name in users:
        if name in refused and not (rendered and refused[name] == ONLY_A_TEMPLATE):
            why = unsaid.pop(name, "")
            yield f"{name} is left out" + (f": {why}" if why else "")
    if not rendered and alone and not any(name in refused for name in users):
        yield f"{next(iter(users), '')} stays with ifupdown".strip()
    elif rendered and alone and not any(path.takes(line) for path in rendered):
        yield f"{rendered[0].name} stays with ifupdown, and neo follows its address"
