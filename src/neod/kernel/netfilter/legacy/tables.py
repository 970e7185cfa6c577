"""The legacy tables of one namespace: read by getsockopt, written by a process of their own.

python-iptables moves file descriptor 1, keeps tables across namespaces and leaves C by longjmp; and one process cannot
use it for both versions of IP. So each namespace and version has a worker process, which only makes changes.
"""

import asyncio
import errno
import json
import socket
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final

from neod.kernel.child import AnsweringChild
from neod.kernel.errors import from_os_error, kernel_call, refused
from neod.kernel.netfilter.legacy.xtables import Entries, Info
from neod.kernel.netfilter.legacy.xtables_socket import open_raw, read_chains, read_info
from neod.model.ports import Clock, LegacyTable

NAMES: Final = {4: "/proc/thread-self/net/ip_tables_names", 6: "/proc/thread-self/net/ip6_tables_names"}
WORKER_TIMEOUT_S: Final = 40.0
CLEAN: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}

MOST_ORDERS: Final = 1000
"""Then a new process: python-iptables never frees a chain or a rule."""

READ_SHARE: Final = 0.01
"""Share of a core that reading whole tables may cost while nothing says that they changed."""

BOOT: Final = (
    "import sys, runpy; sys.path[:] = sys.argv.pop(1).splitlines(); "
    "runpy.run_module('neod.kernel.netfilter.legacy.worker', run_name='__main__', alter_sys=True)"
)


class LegacyTables:
    """The legacy half of the port ``Netfilter``. *within* runs a call in the namespace."""

    def __init__(self, netns: Path | None, within: Callable[[Callable[[], Any]], Any], clock: Clock) -> None:
        self._netns, self._within, self._clock = netns, within, clock
        self._sockets: dict[int, socket.socket] = {}
        self._proc: dict[int, Any] = {}
        self._known: dict[tuple[int, str], tuple[Info, LegacyTable, float]] = {}  # and when to read it again
        self._entries: defaultdict[tuple[int, str], Entries] = defaultdict(Entries)
        self._writers: dict[int, Writer] = {}
        self.writes = 0

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        for file in self._proc.values():
            file.close()
        for writer in self._writers.values():
            writer.end()
        self._sockets, self._proc, self._writers = {}, {}, {}

    def names(self, version: int) -> Sequence[str]:
        """Return the tables that exist: the kernel makes a table when somebody first looks into it."""
        if version not in self._proc:
            there = self._within(lambda: _opened(NAMES[version]))
            if there is None:
                return ()
            self._proc[version] = there
        file = self._proc[version]
        file.seek(0)
        return tuple(file.read(4096).decode().split())

    def read(self, version: int, table: str) -> LegacyTable | None:
        """Return the chains, the same object while nothing changed; None if the table does not exist.

        SO_GET_INFO is cheap and differs after nearly every change; the whole table
        is read again when it does, and from time to time.
        """
        if table not in self.names(version):
            return None
        begun = self._clock.boottime()
        try:
            sock = self._socket(version)
            info = read_info(sock, version, table)
            known = self._known.get((version, table))
            if known is not None and known[0] == info and begun < known[2]:
                return known[1]
            chains = read_chains(sock, version, table, info, self._entries[version, table])
        except OSError as error:
            raise from_os_error(f"read the legacy table {table}", error) from error
        if known is not None and chains == known[1]:
            chains = known[1]
        took = self._clock.boottime() - begun
        self._known[version, table] = (info, chains, begun + took / READ_SHARE)
        return chains

    def _socket(self, version: int) -> socket.socket:
        if version not in self._sockets:
            self._sockets[version] = self._within(lambda: open_raw(version))
        return self._sockets[version]

    def forward_drops(self) -> bool:
        """Whether a legacy table drops by default what is forwarded."""
        tables = (self.read(version, "filter") for version in (4, 6))
        return any(table["FORWARD"].policy == "DROP" for table in tables if table and "FORWARD" in table)

    async def write(self, version: int, table: str, chains: Mapping[str, Mapping[str, Any]]) -> None:
        """Make our chains of a table exactly *chains*, in one transaction."""
        self.writes += 1
        self._known.pop((version, table), None)
        order = {"version": version, "table": table, "chains": chains}
        answer = await self._writer(version).ask(order)
        if answer["errno"]:
            raise refused(f"iptables {answer['call']}", answer["errno"], answer["why"])

    async def preload(self) -> None:
        """Start the processes that write: their first half second goes into loading libraries."""
        for version in (4, 6):
            if self.names(version):
                await self._writer(version).start()

    def _writer(self, version: int) -> "Writer":
        return self._writers.setdefault(version, Writer(self._netns))


class Writer:
    """A process that carries out orders, one at a time. What it said last is in the error when it ends by itself."""

    def __init__(self, netns: Path | None) -> None:
        self._enter = ["nsenter", f"--net={netns}"] if netns else []
        self._child: AnsweringChild | None = None
        self._orders = 0
        self._turn = asyncio.Lock()

    async def start(self) -> AnsweringChild:
        """Return the process, made if need be.

        Raises:
            KernelError: there is no program to run, or no room for it.
        """
        if self._child is None or self._child.process.poll() is not None or self._orders >= MOST_ORDERS:
            self.end()
            self._orders = 0
            places = "\n".join(place for place in sys.path if place)
            with kernel_call("start the process that writes iptables rules"):
                argv = [*self._enter, sys.executable, "-I", "-c", BOOT, places]
                self._child = await AnsweringChild.start(argv, CLEAN)
        return self._child

    async def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one order.

        Raises:
            KernelError: there was none.
        """
        async with self._turn:
            child = await self.start()
            self._orders += 1
            try:
                async with asyncio.timeout(WORKER_TIMEOUT_S):
                    answer: dict[str, Any] = json.loads(await child.asked(json.dumps(order).encode()))
                    return answer
            except TimeoutError as error:
                self.end()
                raise refused("iptables", errno.ETIMEDOUT, f"no answer within {WORKER_TIMEOUT_S:g} s") from error
            except (OSError, ValueError) as error:
                self._child = None
                raise refused("iptables", errno.EAGAIN, f"the process that writes the rules {child.end()}") from error

    def end(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None


def _opened(name: str) -> FileIO | None:
    """Return an open file; None if there is none, for the kernel has not loaded the module. Runs in its namespace."""
    try:
        return open(name, "rb", buffering=0)  # noqa: PTH123
    except FileNotFoundError:
        return None
