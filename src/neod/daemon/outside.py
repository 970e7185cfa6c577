"""Everything that the daemon takes from the machine that it runs on, in one object: another one is another machine.

Passes, leases and paths get sockets, files, programs and clocks from here alone; beside it, only what is asked for now
and then reads the host itself: ``doctor``, and what stands in the way of translation (``host_warnings``).
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Protocol

from neod import __version__
from neod.config.reader import FileReader
from neod.daemon.lock import LOCKS, Lock, hold_namespace
from neod.dhcp.lease_writer import LeaseDisk
from neod.dhcp.rawsocket import Packets
from neod.dhcp.store import LeaseStore
from neod.kernel.clock import SystemClock
from neod.kernel.files import StateDirectory
from neod.kernel.machine import machine_id
from neod.kernel.mount_events import MountEvents
from neod.kernel.moved_links import NetlinkMovedLinks
from neod.kernel.netfilter.flows import Judge, cut_flows
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kernel.netns_files import NamedNamespaces
from neod.kernel.sysctls import NetnsSysctls, ProcSysctls
from neod.kernel.units import is_systemd_here, restart_running
from neod.model.ports import Clock, MovedLinks, Namespaces, Netfilter, Sysctls
from neod.netlink.conntrack import TrackedFlow
from neod.netlink.host_addresses import HostAddress
from neod.netlink.netns import NAMED, opener_in
from neod.netlink.socket import Opener
from neod.observability import logs
from neod.observability.logs import Log
from neod.observability.systemd import SystemdNotify

if TYPE_CHECKING:
    import asyncio

    from neod.control.server import ControlServer
    from neod.control.service import ControlService


class Listening(Protocol):
    """What reports on the loop from ``start`` to ``close``."""

    def start(self, loop: "asyncio.AbstractEventLoop") -> None: ...
    def close(self, loop: "asyncio.AbstractEventLoop") -> None: ...


class ClosingNetfilter(Netfilter, Protocol):
    """Translation and filters of a namespace, to be closed with it."""

    def close(self) -> None: ...


class Outside:
    """The machine, its kernel and its disk."""

    def __init__(self, runtime_dir: Path, state_dir: Path) -> None:
        self.runtime_dir, self.files = runtime_dir, StateDirectory(state_dir)
        self.clock: Clock = SystemClock()
        self.rng: Random = SystemRandom()  # an xid that can be guessed can be answered by anybody
        self.packets = Packets()
        self.reader = FileReader()
        self.notify = SystemdNotify()

    # ── the kernel, by namespace; the empty name is neod's own ────────────────────────────────

    def opener(self, netns: str) -> Opener:
        """Return what opens netlink sockets in a namespace."""
        return opener_in(_path(netns))

    def sysctls(self, netns: str) -> Sysctls:
        """Return the sysctls of a namespace, with the values found there before neod's first write."""
        if not netns:
            return ProcSysctls(self.files.file("sysctls.json"), LOCKS)
        return NetnsSysctls(NAMED / netns, self.files.file(f"sysctls-{netns}.json"), LOCKS)

    def netfilter(self, netns: str) -> ClosingNetfilter:
        """Return the translation of a namespace."""
        return KernelNetfilter(_path(netns), self.clock)

    def moved_links(self) -> MovedLinks:
        """Return what finds links in all namespaces."""
        return NetlinkMovedLinks()

    def namespaces(self) -> Namespaces:
        """Return the named namespaces."""
        return NamedNamespaces(self.runtime_dir / "netns")

    def has_units(self) -> bool:
        """Whether there is a service manager that restarts units."""
        return is_systemd_here()

    def restart_running(self, units: Sequence[str]) -> str:
        """Have those of *units* restarted that run; return what is wrong, empty if nothing is; blocks."""
        return restart_running(units)

    def mounts(self, take: Callable[[], None]) -> Listening:
        """Return what calls *take* when namespaces may have come or gone."""
        return MountEvents(take)

    def identity(self, netns: str) -> tuple[int, int] | None:
        """Return what tells the namespace of a name from an earlier one; None if there is none."""
        try:
            found = (NAMED / netns).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def hold(self, netns: str) -> Lock:
        """Keep every other neod out of a namespace.

        Raises:
            AlreadyRunning: another one is in it.
            OSError: there is no such namespace.
        """
        return hold_namespace(NAMED / netns, self.runtime_dir)

    def cut_flows(self, netns: str, judge: Callable[[list[HostAddress]], Judge]) -> Collection[TrackedFlow]:
        """Remove tracked connections that the judge condemns; blocks.

        Raises:
            KernelError: they cannot be read.
        """
        return cut_flows(_path(netns), judge)

    # ── the disk, and who listens ─────────────────────────────────────────────────────────────

    def leases(self) -> LeaseDisk:
        """Return where leases are kept."""
        return LeaseStore(self.files.file("leases.json"), self.clock)

    def server(self, service: "ControlService") -> "ControlServer":
        """Return the server of the control socket, bound; it takes 0.1 s to load, which the first pass need not await.

        Raises:
            NeoError: the socket cannot be made.
        """
        from neod.control.server import ControlServer

        server = ControlServer(service, self.runtime_dir, __version__)
        server.bind()
        return server

    def machine_id(self) -> str:
        """Return who this machine is."""
        return machine_id(self.files.file("machine-id"))

    def log(self, level: str, style: str) -> Log:
        """Log so from now on."""
        return logs.configure(level, style)


def _path(netns: str) -> Path | None:
    return NAMED / netns if netns else None
