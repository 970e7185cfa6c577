"""``python -m neod.kernel.netfilter.legacy.worker``: changes of legacy tables, in a process of their own.

Reads orders as lines of JSON on standard input and answers each in one line on the descriptor that was standard output
when it began: python-iptables uses descriptor 1 for its own purposes. It ends when its input does.

A rule is never parsed back. Each carries the digest of what was asked in its comment; a rule whose digest is wanted
stays, with its counters. From reading the table to committing it the lock of the iptables tools is held, or somebody
else's rules could be lost: the kernel accepts a stale table if the number of entries matches.
"""

import ctypes
import ctypes.util
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

from neod.kernel.netfilter.legacy.libraries import find_library, missing_text
from neod.kernel.netfilter.legacy.xtables import Entries
from neod.kernel.netfilter.legacy.xtables_socket import open_raw, read_chains, read_info
from neod.model.ports import LegacyRule

Wanted = dict[str, dict[str, Any]]

LOCK: Final = "/run/xtables.lock"
LOCK_PATIENCE_S: Final = 2.0
LOCK_PAUSE_S: Final = 0.01
OURS: Final = "NEO-"
TRIES: Final = 5
NO_TABLES: Final = property(lambda _: [])
"""Where python-iptables looks whether a target is a chain; left alone, it makes every table there is."""


@cache
def library() -> Any:
    """Return python-iptables, imported without running ldconfig and compilers.

    Raises:
        Refused: it cannot be loaded.
    """
    ctypes.util.find_library = find_library
    sys.modules["distutils"] = None  # type: ignore[assignment]  # it does without, and faster
    try:
        iptc: Any = import_module("iptc")
    except Exception as error:  # it raises a plain one
        raise Refused("load", errno.ENOPKG, missing_text() or f"python-iptables cannot be loaded: {error}") from error
    iptc.Rule.tables = iptc.Rule6.tables = NO_TABLES
    iptc.xtables.xtables._option_lookup = _option
    return iptc


def _option(extensions: Any, entries: Any, name: bytes) -> Any:
    """Return the entry of an option in an extension's table; None if there is none.

    python-iptables steps through the table by the length that entries had
    when it was written, and finds no option but the first of newer libraries.
    """
    kind, at = library().xtables.xt_option_entry, ctypes.addressof(entries.contents)
    while (entry := kind.from_address(at)).name:
        if entry.name == name:
            return entry
        at += _entry_bytes(extensions)
    return None


@cache
def _entry_bytes(extensions: Any) -> int:
    """Return the length of an option's entry in the library that is installed, seen in a table with several options.

    Source: libxtables 12.7 (iptables 1.8.11, Debian 13) has a field more at the end.
    """
    old = ctypes.sizeof(library().xtables.xt_option_entry)
    several = extensions.find_match(b"addrtype")[0].x6_options
    second = ctypes.c_void_p.from_address(ctypes.addressof(several.contents) + old)
    return old if second.value else old + ctypes.sizeof(ctypes.c_void_p)


class Refused(Exception):
    """An order that could not be carried out."""

    def __init__(self, call: str, code: int, why: str) -> None:
        super().__init__(why)
        self.call, self.code = call, code


def locked() -> int:
    """Return the descriptor of the lock, once it is ours."""
    held = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    waited = 0.0
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waited >= LOCK_PATIENCE_S:
                wrong = f"another program has held {LOCK} for {LOCK_PATIENCE_S:g} s"
                raise Refused("lock", errno.EBUSY, wrong) from None
            time.sleep(LOCK_PAUSE_S)  # noqa: TID251  this process has no loop
            waited += LOCK_PAUSE_S
        else:
            return held


def rules_of(sock: socket.socket, version: int, table: str, known: Entries) -> dict[str, list[LegacyRule]]:
    """Return the rules of every chain as the kernel has them; see ``read_chains``."""
    chains = read_chains(sock, version, table, read_info(sock, version, table), known)
    return {name: list(chain.rules) for name, chain in chains.items()}


class Compiled(dict[tuple[int, str], Any]):
    """Rules as libiptc takes them, by version and comment.

    Compiled before the lock is taken, because each takes python-iptables a
    millisecond; and kept, so that flushed rules are restored at once.
    """

    def prepare(self, version: int, wanted: Wanted, have: Iterable[str]) -> None:
        """Compile those of *wanted* that are not in *have*."""
        there = set(have)
        for order in wanted.values():
            for rule in order["rules"]:
                key = version, rule["comment"]
                if key not in self and rule["comment"] not in there:
                    self[key] = self._make(version, rule)

    @staticmethod
    def _make(version: int, order: dict[str, Any]) -> Any:
        rule = (library().Rule if version == 4 else library().Rule6)()
        for key, value in order["fields"].items():
            setattr(rule, key, value)
        for name, parameters in order["matches"]:
            match = rule.create_match(name)
            for parameter, value in parameters.items():
                setattr(match, parameter, value)
        rule.create_match("comment").comment = order["comment"]
        name, parameters = order["target"]
        target = rule.create_target(name)
        for parameter, value in parameters.items():
            setattr(target, parameter, value)
        rule.final_check()
        return rule.rule

    def there(self, version: int, table: str) -> list[str]:
        """Return the comments of the rules that the table has now: rules are compiled before the lock is taken."""
        with open_raw(version) as sock:
            rules = rules_of(sock, version, table, self.read[version, table])
        return [rule.comment for chain in rules.values() for rule in chain]

    def keep(self, version: int, table: str, wanted: Wanted) -> None:
        """Drop the rules that no table uses any more."""
        used = {rule["comment"] for order in wanted.values() for rule in order["rules"]}
        self._used[version, table] = used
        for key in [key for key in self if not any(key[1] in comments for comments in self._used.values())]:
            del self[key]

    def __init__(self) -> None:
        super().__init__()
        self._used: dict[tuple[int, str], set[str]] = {}
        self.read: defaultdict[tuple[int, str], Entries] = defaultdict(Entries)


class ChainEditor:
    """One table, from reading to committing. Rules are read raw, and written by python-iptables."""

    def __init__(self, version: int, table: str, compiled: Compiled) -> None:
        iptc = library()
        self._compiled = compiled
        self._iptc, self._version, self._name = iptc, version, table
        self._rule_of = iptc.Rule if version == 4 else iptc.Rule6
        self._table = (iptc.Table if version == 4 else iptc.Table6)(table, autocommit=False)
        self._sock = open_raw(version)
        self._entries = compiled.read[version, table]
        self._table.refresh()
        self.have = self.read()

    def close(self) -> None:
        """Free what was read; what was not committed is dropped."""
        self._table.close()
        self._sock.close()

    def read(self) -> dict[str, list[LegacyRule]]:
        """Return the rules of every chain as the kernel has them."""
        return rules_of(self._sock, self._version, self._name, self._entries)

    def apply(self, wanted: Wanted) -> None:
        """Make our chains exactly *wanted* and commit."""
        for name in wanted:
            if name not in self.have:
                self._table.create_chain(name)
                self.have[name] = []
        for name, order in wanted.items():
            self._fill(name, order["rules"])
            self._jump(order["from"], name)
        for name in [name for name in self.have if name.startswith(OURS) and name not in wanted]:
            self._remove_chain(name)
        self._table.commit()

    def is_applied(self, wanted: Wanted) -> bool:
        """Whether the kernel, read again, has exactly *wanted* of ours."""
        found = self.read()
        ours = {name: [rule.comment for rule in rules] for name, rules in found.items() if name.startswith(OURS)}
        return ours == {name: [rule["comment"] for rule in order["rules"]] for name, order in wanted.items()} and all(
            self._only_after_own_jumps(found[order["from"]], name) for name, order in wanted.items()
        )

    @staticmethod
    def _only_after_own_jumps(rules: list[LegacyRule], name: str) -> bool:
        places = [place for place, rule in enumerate(rules) if rule.target == name]
        return len(places) == 1 and all(rule.target.startswith(OURS) for rule in rules[: places[0]])

    def _fill(self, name: str, rules: list[dict[str, Any]]) -> None:
        """Delete what is not wanted, insert what is missing; what stays keeps its counters."""
        have = [rule.comment for rule in self.have[name]]
        want = [rule["comment"] for rule in rules]
        kept = common(have, want)
        for place in range(len(have) - 1, -1, -1):
            if place not in kept:
                self._delete(name, place)
        staying = set(kept.values())
        for place, rule in enumerate(rules):
            if place not in staying:
                self._table.insert_entry(name, self._compiled[self._version, rule["comment"]], place)

    def _jump(self, builtin: str, name: str) -> None:
        """Let exactly one rule jump to the chain: the first."""
        if self._only_after_own_jumps(self.have[builtin], name):
            return
        self._drop_jumps(builtin, name)
        self._rule_of.tables = property(lambda _: [self._table])
        rule = self._rule_of()
        rule.target = self._iptc.Target(rule, name)
        self._iptc.Chain(self._table, builtin).insert_rule(rule)
        self._rule_of.tables = NO_TABLES
        self.have[builtin].insert(0, LegacyRule(name))

    def _drop_jumps(self, chain: str, name: str) -> None:
        for place in range(len(self.have[chain]) - 1, -1, -1):
            if self.have[chain][place].target == name:
                self._delete(chain, place)
                del self.have[chain][place]

    def _remove_chain(self, name: str) -> None:
        for chain in self.have:
            self._drop_jumps(chain, name)
        self._table.flush_entries(name)
        self._table.delete_chain(name)

    def _delete(self, chain: str, place: int) -> None:
        """Delete by place: by content it would have to be built first."""
        if self._table._iptc.iptc_delete_num_entry(chain.encode(), place, self._table._handle) != 1:
            raise Refused("delete", errno.EIO, f"rule {place + 1} of {chain} cannot be deleted")


def common(have: list[str], want: list[str]) -> dict[int, int]:
    """Return which places of *have* can stay, and their places in *want*: those that are in order already."""
    places = {comment: place for place, comment in enumerate(want)}
    kept: dict[int, int] = {}
    last = -1
    for place, comment in enumerate(have):
        found = places.get(comment, -1)
        if found > last:
            kept[place] = last = found
    return kept


def carry_out(version: int, table: str, wanted: Wanted, compiled: Compiled) -> None:
    """Make our chains of a table exactly *wanted*.

    Raises:
        Refused: the lock stayed taken, or somebody who does not take it kept writing.
    """
    refusal = library().IPTCError
    compiled.prepare(version, wanted, compiled.there(version, table))
    lock = locked()
    try:
        for _ in range(TRIES):
            editor = ChainEditor(version, table, compiled)
            try:
                have = (rule.comment for rules in editor.have.values() for rule in rules)
                compiled.prepare(version, wanted, have)  # of what went since
                editor.apply(wanted)
                if editor.is_applied(wanted):
                    compiled.keep(version, table, wanted)
                    return
                failed = "the rules were not there after they had been written"
            except refusal as error:
                failed = str(error)
            finally:
                editor.close()
    finally:
        os.close(lock)
    raise Refused("commit", errno.EAGAIN, failed)


def answer(order: dict[str, Any], compiled: Compiled) -> dict[str, object]:
    """Carry out one order and return what came of it."""
    try:
        carry_out(order["version"], order["table"], order["chains"], compiled)
    except Refused as error:
        return {"errno": error.code, "call": error.call, "why": str(error)}
    except OSError as error:
        return {"errno": error.errno or errno.EIO, "call": "read", "why": str(error)}
    except Exception as error:  # the top of this process: whatever libxtables objects to
        return {"errno": errno.EINVAL, "call": order["table"], "why": f"{type(error).__name__}: {error}"}
    return {"errno": 0}


def main() -> None:
    """Carry out orders until there are no more."""
    out = os.dup(1)
    os.dup2(2, 1)
    with suppress(Refused):  # the first order is answered with it
        library()
    compiled = Compiled()
    for line in sys.stdin:
        answered = answer(json.loads(line), compiled)
        os.write(out, json.dumps(answered).encode() + b"\n")
        if answered["errno"] == errno.ENOPKG:
            break  # the next process looks again


if __name__ == "__main__":
    main()
