"""The table ``inet neo`` of one namespace, written by ``nft`` and, where possible, claimed by a socket of ours.

nft parses and checks; it runs for changes, and for reading only when the
kernel's generation counter changed since the last read.
"""

import asyncio
import errno
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from neod.kernel.errors import refused
from neod.kernel.netfilter.nft.ruleset import NftRuleset
from neod.model.errors import KernelError

TABLE: Final = "neo"
OURS: Final = ("inet", TABLE), ("arp", TABLE)
"""That there is one of these says nothing of what the host keeps its rules in."""

NFT_TIMEOUT_S: Final = 20.0
TRIES: Final = 5
VERSION: Final = re.compile(r"v(\d+)\.(\d+)")

DORMANT: Final[Mapping[str, Any]] = {"dormant": {}}
"""Stands first in the listing of a table whose chains are not asked."""

PERSIST_SINCE: Final = (1, 1)
"""An older nft claims tables as well, but lists a table whose owner has exited in a syntax that no nft can read: a
ruleset that others save and restore would be broken while neod is stopped. Seen with 1.0.6."""


Run = Callable[[Sequence[str], bytes, float], "subprocess.CompletedProcess[bytes]"]
"""Runs a program with something to read, and at most for so long; raises OSError or subprocess.TimeoutExpired."""


def run_program(argv: Sequence[str], commands: bytes, limit_s: float) -> "subprocess.CompletedProcess[bytes]":
    """Run a program and return what it printed; blocks.

    Raises:
        OSError: it cannot be run.
        subprocess.TimeoutExpired: it took longer than that, and was killed.
    """
    return subprocess.run(argv, input=commands, capture_output=True, timeout=limit_s, check=False)


class NftTable:
    """The nftables half of the port ``Netfilter``.

    A claimed table (NFT_TABLE_F_OWNER) cannot be flushed or changed by anybody
    else, and outlives us. *claim* None: if both the kernel and nft can.
    """

    def __init__(
        self, netns: Path | None, ruleset: NftRuleset, *, claim: bool | None = None, run: Run = run_program
    ) -> None:
        self._enter = ["nsenter", f"--net={netns}"] if netns else []
        self._ruleset, self._claim, self._run = ruleset, claim, run
        self._generation: int | None = None
        self._listing: list[Mapping[str, Any]] | None = None
        self._tables: tuple[int, Sequence[str], Sequence[str]] = (-1, (), ())
        self.writes = 0

    async def read(self) -> Sequence[Mapping[str, Any]] | None:
        """Return what is in the table; None if there is none."""
        if not self._ruleset.supported():
            return None
        for _ in range(TRIES):
            generation = self._ruleset.generation()
            if generation == self._generation:
                return self._listing
            listing = await self._list()
            if self._ruleset.generation() == generation:
                self._generation, self._listing = generation, listing
                return listing
        raise refused("nft list", errno.EINTR, "the rules kept changing while they were read")

    async def _list(self) -> list[Mapping[str, Any]] | None:
        if (table := self._ruleset.table(TABLE)) is None:
            return None
        if await self._may_claim():
            self._ruleset.claim_table(TABLE)
        found = json.loads(await self._nft(["-j", "list", "table", "inet", TABLE]))["nftables"]
        dormant: list[Mapping[str, Any]] = (
            [DORMANT] if table.dormant else []
        )  # not from nft 1.0.6, which prints flags as rubbish
        return [*dormant, *(entry for entry in found if not entry.keys() & {"metainfo", "table"})]

    async def _may_claim(self) -> bool:
        if self._claim is None:
            version = VERSION.search((await self._nft(["--version"])).decode("utf-8", "replace"))
            self._claim = version is not None and (int(version[1]), int(version[2])) >= PERSIST_SINCE
        return self._claim

    async def replace(self, script: str) -> None:
        """Replace the content of the table by *script*, all or nothing.

        The transaction deletes what was just read; if somebody changed the table
        meanwhile, the kernel returns an error, and it is read again.
        """
        error: KernelError | None = None
        for _ in range(TRIES):
            if await self._may_claim():
                self._ruleset.claim_table(TABLE)  # created by netlink: nft could not set the owner flags
            listing = await self._list()
            self._ruleset.release_table()  # nft is another process, so it needs access
            self.writes += 1
            try:
                if DORMANT in (
                    listing or ()
                ):  # by itself: the kernel takes no chains in the transaction that wakes them
                    await self._nft(["add", "table", "inet", TABLE])
                await self._nft(["-f", "-"], _emptying(listing) + script)
                break
            except KernelError as problem:
                error = problem
            finally:
                self._generation = None
        else:
            assert error is not None
            raise error
        if self._claim:
            self._ruleset.claim_table(TABLE)

    async def remove(self) -> None:
        """Delete the table; already gone counts as done."""
        self._generation = None
        if self._ruleset.supported() and self._ruleset.table(TABLE) is not None:
            self._ruleset.delete_table(TABLE)
            self.writes += 1

    def tables(self) -> Sequence[str]:
        """Return the tables of others that hold chains."""
        return self._others()[1]

    def forward_drops(self) -> Sequence[str]:
        """Return the chains of others that drop by default what is forwarded."""
        return self._others()[2]

    def _others(self) -> tuple[int, Sequence[str], Sequence[str]]:
        if not self._ruleset.supported():
            return -1, (), ()
        generation = self._ruleset.generation()
        if generation != self._tables[0]:
            tables = [f"{t.family} {t.name}" for t in self._ruleset.tables() if (t.family, t.name) not in OURS]
            drops = [f"{chain.family} {chain.table} {chain.name}" for chain in self._ruleset.forward_drops()]
            self._tables = generation, tables, drops
        return self._tables

    async def _nft(self, words: Sequence[str], commands: str = "") -> bytes:
        argv = [*self._enter, "nft", *words]
        try:
            # See ``neod.kernel.child`` for why not asyncio's own.
            done = await asyncio.to_thread(self._run, argv, commands.encode(), NFT_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise refused("nft", errno.ETIMEDOUT, f"no answer within {NFT_TIMEOUT_S:g} s") from error
        except OSError as error:
            raise refused(f"run {argv[0]}", error.errno or errno.EIO) from error
        if done.returncode:
            raise refused("nft " + " ".join(words), errno.EAGAIN, _first_line(done.stderr))
        return done.stdout


def _emptying(listing: Sequence[Mapping[str, Any]] | None) -> str:
    """Return the commands that leave an empty table. One that is there must not be added: its flags would differ."""
    if listing is None:
        return f"add table inet {TABLE}\n"
    found = [(sort, body) for entry in listing for sort, body in entry.items() if sort not in ("rule", "dormant")]
    found.sort(key=_removal_order)
    commands = [f"flush table inet {TABLE}"]
    return "\n".join([*commands, *(f"delete {sort} inet {TABLE} {body['name']}" for sort, body in found)]) + "\n"


def _removal_order(one: tuple[str, Mapping[str, Any]]) -> int:
    """Return the place of an object: maps that lead to chains, chains, and what rules referred to."""
    sort, body = one
    return 0 if body.get("map") == "verdict" else 1 if sort == "chain" else 2


def _first_line(err: bytes) -> str:
    lines = err.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else "it printed no error"
