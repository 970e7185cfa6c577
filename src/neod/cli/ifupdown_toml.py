"""The neo.toml that replaces an interfaces file. Pure; the same import gives the same text."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from neod.cli.ifupdown_path import MODES, Path
from neod.cli.ifupdown_paths import Imported
from neod.observability.streams import printable

MOST_ENDPOINTS = 8
"""What the kernel's own path manager takes; with more paths neod has to do it. Source: MPTCP_PM_ADDR_MAX."""


def toml(imported: Imported, source: str) -> str:
    """Return the file, with what was left out as comments at its end."""
    lines = [
        "#:schema ./neo.schema.json",
        f"# Made by `neodctl import ifupdown` from {printable(source)}.",
        "# Read it before you use it: take the macvlans out of the interfaces file, and their hooks away, or both will",
        "# configure them. `neodctl validate FILE` checks this one; `neodctl plan FILE` says what it would change.",
        "# ifupdown puts default routes of macvlans into the main table; neo's are in tables of their own alone.",
        *(f"# {note}" for note in imported.notes),
    ]
    for nic in imported.nics:
        lines += ["", f"[uplinks.{_key(nic.name)}]", 'ipv4 = "follow"', f"table = {nic.table}"]
    for base, members in groupby(imported.macvlans, key=lambda path: path.base):
        lines += ["", *_group(base, list(members))]
    if len(imported.paths) > MOST_ENDPOINTS:
        lines += ["", f"# {len(imported.paths)} paths: the kernel's own path manager takes {MOST_ENDPOINTS} at most."]
        lines += ["[mptcp]", 'path_manager = "neod"']
    if imported.left_out:
        lines += ["", "# Left out, for neo.toml has no place for it:"]
        lines += [f"#   {text}" for text in imported.left_out]
    return "\n".join(lines) + "\n"


def _group(base: str, members: list[Path]) -> Iterator[str]:
    """Yield the table of a group, and those of its interfaces that differ."""
    said = {key: most_common(path.text(key) for path in members) for key in ("parent", "gateway")}
    mode = most_common(_mode(path) for path in members)
    mtu = (
        members[0].text("mtu") if len({path.text("mtu") for path in members}) == 1 else ""
    )  # no override takes it back
    table_base = max(0, int(most_common(str((path.table or 0) - path.number) for path in members)))
    leased = most_common(str(path.ipv4 == "dhcp") for path in members) == "True"
    static = not leased and all(path.ipv4 != "dhcp" and path.text("gateway") == said["gateway"] for path in members)
    numbered = [path.number for path in members] == list(range(1, len(members) + 1))
    macs = numbered and all(path.text("mac") for path in members)
    yield f"[macvlans.{_key(base)}]"
    yield f"parent = {_text(said['parent'])}"
    if macs:
        yield f"macs = [{', '.join(_text(path.text('mac')) for path in members)}]"
    else:
        yield f"count = {len(members)}" if numbered else f'ids = "{_ranges([path.number for path in members])}"'
        if not all(path.text("mac") for path in members):
            yield "# MACs that ifupdown left to chance (a new one at each boot) do not change with neo."
    yield f"mode = {_text(mode)}" + ("  # as the kernel does unasked; private spares the others" * (mode == "vepa"))
    if mtu:
        yield f"mtu = {mtu}"
    if static:
        yield f"ipv4 = [{', '.join(_text(path.ipv4) for path in members)}]"
        yield f"gateway = {_text(said['gateway'])}"
    else:
        yield 'ipv4 = "dhcp"'
    if table_base:
        yield f"table_base = {table_base}"
    for path in members:
        differs: dict[str, str] = {
            "parent": _text(path.text("parent")) if path.text("parent") != said["parent"] else "",
            "mac": _text(path.text("mac")) if path.text("mac") and not macs else "",
            "mode": _text(_mode(path)) if _mode(path) != mode else "",
            "mtu": path.text("mtu") if path.text("mtu") != mtu else "",
            "table": str(path.table) if path.table != table_base + path.number else "",
        }
        if not static and path.ipv4 != "dhcp":
            differs |= {"ipv4": _text(path.ipv4), "gateway": _text(path.text("gateway"))}
        if any(differs.values()):
            yield from ("", f"[macvlans.{_key(base)}.override.{_key(path.name)}]")
            yield from (f"{key} = {value}" for key, value in differs.items() if value)


def most_common(values: Iterable[str]) -> str:
    """Return what most have, the first of equals; empty if there is nothing."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else ""


def _mode(path: Path) -> str:
    return path.text("mode") or MODES[0]


def _ranges(numbers: list[int]) -> str:
    """Return ``1-3,7``."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value)
