"""The table ``inet neo`` of one namespace, written by ``nft`` and, where that can be, held by a socket of ours.

nft parses and checks; it is run for changes, and for reading only when the
kernel counted a change since the last look.
"""

import asyncio
import errno
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from neod.kernel.errors import refused
from neod.kernel.netfilter.nft.ruleset import NftRuleset
from neod.model.errors import KernelError

TABLE: Final = "neo"
PATIENCE_S: Final = 20.0
TRIES: Final = 5
VERSION: Final = re.compile(r"v(\d+)\.(\d+)")

KNOWS_PERSIST: Final = (1, 1)
"""An older nft holds tables as well, but prints a table that its holder left in a way that nobody can read: what
others restore from it would be broken while neod is stopped. Seen with 1.0.6."""


class NftTable:
    """The nftables half of the port ``Netfilter``.

    A table that is held cannot be flushed or changed by anybody else, and
    outlives us. *hold* None: where both the kernel and nft know how.
    """

    def __init__(self, netns: Path | None, ruleset: NftRuleset, *, hold: bool | None = None) -> None:
        self._enter = ["nsenter", f"--net={netns}"] if netns else []
        self._ruleset, self._hold = ruleset, hold
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
        if not self._ruleset.has_table(TABLE):
            return None
        if await self._may_hold():
            self._ruleset.claim_table(TABLE)
        found = json.loads(await self._nft(["-j", "list", "table", "inet", TABLE]))["nftables"]
        return [entry for entry in found if "metainfo" not in entry]

    async def _may_hold(self) -> bool:
        if self._hold is None:
            told = VERSION.search((await self._nft(["--version"])).decode("utf-8", "replace"))
            self._hold = told is not None and (int(told[1]), int(told[2])) >= KNOWS_PERSIST
        return self._hold

    async def replace(self, script: str) -> None:
        """Fill the table anew with *script*, all or nothing.

        What the transaction takes away is what was just read; if somebody
        changed it meanwhile, the kernel refuses, and we look again.
        """
        error: KernelError | None = None
        for _ in range(TRIES):
            if await self._may_hold():
                self._ruleset.claim_table(TABLE)  # makes it in the way that lets it be held
            listing = await self._list()
            self._ruleset.release_table()  # for nft is another process
            self.writes += 1
            try:
                await self._nft(["-f", "-"], _emptying(listing) + script)
                break
            except KernelError as problem:
                error = problem
            finally:
                self._generation = None
        else:
            assert error is not None
            raise error
        if self._hold:
            self._ruleset.claim_table(TABLE)

    async def remove(self) -> None:
        """Delete the table; already gone counts as done."""
        self._generation = None
        if self._ruleset.supported() and self._ruleset.has_table(TABLE):
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
            tables = [f"{t.family} {t.name}" for t in self._ruleset.tables() if (t.family, t.name) != ("inet", TABLE)]
            drops = [f"{chain.family} {chain.table} {chain.name}" for chain in self._ruleset.forward_drops()]
            self._tables = generation, tables, drops
        return self._tables

    async def _nft(self, words: Sequence[str], commands: str | None = None) -> bytes:
        argv = [*self._enter, "nft", *words]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE if commands is not None else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise refused(f"run {argv[0]}", error.errno or errno.EIO) from error
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await process.communicate(commands.encode() if commands is not None else None)
        except TimeoutError as error:
            raise refused("nft", errno.ETIMEDOUT, f"nothing within {PATIENCE_S:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise refused("nft " + " ".join(words), errno.EAGAIN, _first_line(err))
        return out


def _emptying(listing: Sequence[Mapping[str, Any]] | None) -> str:
    """Return the commands that leave an empty table. One that is there must not be added: its flags would differ."""
    if listing is None:
        return f"add table inet {TABLE}\n"
    names = [
        (sort, body["name"]) for entry in listing for sort, body in entry.items() if sort in ("chain", "map", "set")
    ]
    names.sort(key=lambda one: one[0] != "chain")  # rules go first, then chains, then what rules asked
    commands = [f"flush table inet {TABLE}"]
    return "\n".join([*commands, *(f"delete {sort} inet {TABLE} {name}" for sort, name in names)]) + "\n"


def _first_line(err: bytes) -> str:
    lines = err.decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else "it said nothing"
