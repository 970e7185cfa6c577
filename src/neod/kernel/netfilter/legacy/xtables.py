"""The legacy tables as the kernel hands them out: one blob a table, read without libiptc. Pure.

Only chains, jumps and comments are looked at: enough to tell whether our
rules are there, in 5 µs a table that nobody changed.

Source: linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from neod.model.ports import LegacyChain, LegacyRule, LegacyTable

SO_GET_INFO, SO_GET_ENTRIES = 64, 65
INFO: Final = Struct("=32sI5I5III")  # name, valid hooks, entry of each hook, underflow of each hook, entries, size
NAME_BYTES: Final = 32
HOOKS: Final = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
STANDARD, ERROR = "", "ERROR"
VERDICTS: Final = {-1: "DROP", -2: "ACCEPT", -4: "QUEUE", -5: "RETURN"}
SIZES: Final = Struct("=HH")  # of head and matches, of the whole entry


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in an entry of one family."""

    target_offset: int
    matches: int  # where matches begin: the size of the entry's head
    table_head: int = 40  # of struct ipt_get_entries, padded


LAYOUTS: Final = {4: Layout(88, 112), 6: Layout(140, 168)}


@dataclass(frozen=True, slots=True)
class Info:
    """What SO_GET_INFO tells: it changes with nearly every change of the table."""

    hooks: tuple[tuple[str, int, int], ...]  # name, offset of the first entry, offset of the policy
    entries: int
    size: int  # bytes

    @staticmethod
    def parse(data: bytes) -> "Info":
        _, valid, *rest = INFO.unpack_from(data)
        entry, underflow, entries, size = rest[:5], rest[5:10], rest[10], rest[11]
        hooks = ((name, entry[i], underflow[i]) for i, name in enumerate(HOOKS) if valid & 1 << i)
        return Info(tuple(hooks), entries, size)


@dataclass(frozen=True, slots=True)
class IptEntry:
    """One entry, apart from what the kernel counts in it."""

    size: int
    rule: LegacyRule
    jump: int = -1  # offset of the rule to go on with, where it is a jump to a chain
    label: str = ""  # the chain that begins behind it


Entries = dict[bytes, IptEntry]
"""What entries say, by their bytes: of a table of thousands only what is new must be taken apart."""


def chains_of(blob: bytes, info: Info, version: int, known: Entries) -> LegacyTable:
    """Return the chains of a table from the entries that SO_GET_ENTRIES returned; *known* is left with just those."""
    starts = {offset: name for name, offset, _ in info.hooks}
    policies = {offset: name for name, _, offset in info.hooks}
    found: dict[str, list[LegacyRule]] = {name: [] for name, _, _ in info.hooks}
    policy: dict[str, str] = {}
    at_chain: dict[int, str] = dict(starts)  # offset of a chain's first rule -> its name
    jumps: list[tuple[str, int, IptEntry]] = []  # chain, place in it
    chain = ""
    for offset, entry in _entries(blob, version, known):
        chain = starts.get(offset, chain)
        if entry.label:
            chain = at_chain[offset + entry.size] = entry.label
            found.setdefault(chain, [])
        elif offset in policies:
            policy[policies[offset]] = entry.rule.target
        else:
            if entry.jump >= 0:
                jumps.append((chain, len(found[chain]), entry))
            found[chain].append(entry.rule)
    for chain, place, entry in jumps:
        found[chain][place] = LegacyRule(at_chain.get(entry.jump, ""), entry.rule.comment)
    return {
        name: LegacyChain(_without_return(rules, name in policy), policy.get(name, ""))
        for name, rules in found.items()
        if name != ERROR
    }


def _entries(blob: bytes, version: int, known: Entries) -> Iterator[tuple[int, IptEntry]]:
    """Yield offset and meaning of each entry."""
    layout, fresh, offset = LAYOUTS[version], Entries(), 0
    head, sizes, matches = layout.target_offset, layout.target_offset + 4, layout.matches
    while offset + matches <= len(blob):
        to_target, size = SIZES.unpack_from(blob, offset + head)
        if size < matches or offset + size > len(blob):
            break
        # Without the kernel's own mark and the counters, which lie between the sizes and the matches.
        body = blob[offset : offset + sizes] + blob[offset + matches : offset + size]
        entry = known.get(body)
        fresh[body] = entry = entry or _entry(memoryview(blob)[offset : offset + size], to_target, matches, hash(body))
        yield offset, entry
        offset += size
    known.clear()
    known.update(fresh)


def _entry(data: memoryview, to_target: int, matches: int, content: int) -> IptEntry:
    name, verdict, label = _target(data, to_target)
    if name == ERROR:
        return IptEntry(len(data), LegacyRule(ERROR), label=label)
    comment = _comment(data, matches, to_target)
    if name != STANDARD:
        return IptEntry(len(data), LegacyRule(name, comment, content))
    content = content if verdict < 0 else 0  # where a jump leads follows from what stands before it
    return IptEntry(len(data), LegacyRule(VERDICTS.get(verdict, ""), comment, content), jump=verdict)


def _without_return(rules: list[LegacyRule], builtin: bool) -> tuple[LegacyRule, ...]:
    """Every chain that users make ends with a RETURN that they do not see."""
    return tuple(rules if builtin else rules[:-1])


def _target(blob: memoryview, at: int) -> tuple[str, int, str]:
    """Return the target's name, its verdict where it is a standard one, and the name of the chain it begins."""
    size = int.from_bytes(blob[at : at + 2], "little")
    name = bytes(blob[at + 2 : at + 31]).split(b"\0", 1)[0].decode("utf-8", "replace")
    data = blob[at + 32 : at + size]
    if name == STANDARD:
        return name, struct.unpack_from("=i", data)[0], ""
    label = bytes(data).split(b"\0", 1)[0].decode("utf-8", "replace") if name == ERROR else ""
    return name, 0, label


def _comment(blob: memoryview, at: int, end: int) -> str:
    while at + 32 <= end:
        size = int.from_bytes(blob[at : at + 2], "little")
        if size < 32:
            break
        if bytes(blob[at + 2 : at + 10]) == b"comment\0":
            return bytes(blob[at + 32 : at + size]).split(b"\0", 1)[0].decode("utf-8", "replace")
        at += size
    return ""
