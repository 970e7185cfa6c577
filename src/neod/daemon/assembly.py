"""Builds the daemon from its parts and runs it."""

import asyncio
import gc
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from neod import __version__
from neod.control.feed import Feed
from neod.daemon.config_store import FileKeeper
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Core
from neod.daemon.event_log import Journal
from neod.daemon.listener import Listener
from neod.daemon.main import first_reading
from neod.daemon.mptcp_controller import Multipathing
from neod.daemon.netns import Ears, Spaces
from neod.daemon.supervisor import Supervisor
from neod.dhcp.runner import DhcpService
from neod.dhcp.store import LeaseStore
from neod.features.intents import Intents
from neod.features.mptcp.compile import STALE
from neod.kernel.clock import SystemClock
from neod.kernel.machine import machine_id
from neod.kinds import REGISTRY
from neod.kinds.nat import NatKey
from neod.model.change import Actor
from neod.model.facts import Host, Lease
from neod.model.key import NetnsKey
from neod.model.want import Fact, FactKey
from neod.observability import logs
from neod.observability.notify import Notify
from neod.reconcile.queue import Wakeup

if TYPE_CHECKING:
    from neod.control.server import ControlServer


async def run(child: "subprocess.Popen[bytes]", config: Path, runtime_dir: Path, state_dir: Path) -> None:
    """Run the daemon until it is told to stop.

    Raises:
        ConfigError: there is no file to start from.
        NeoError: the kernel or the control socket refuse.
    """
    gc.freeze()  # what was imported stays: no need to look through it again and again
    gc.set_threshold(20_000, 50, 50)
    logs.configure("info", "auto")
    log = structlog.get_logger("neod")
    clock = SystemClock()
    wakeup = Wakeup(clock)
    journal = Journal(clock, Feed(), log)
    centre: list[Core] = []  # set below: the callbacks cannot fire before the loop goes on
    listener: list[Listener] = []

    def leased(link: str, lease: Lease | None) -> None:
        centre[0].leased(link, lease)

    def said(event: str, fields: dict[str, object]) -> None:
        log.debug(event, **fields)

    def heard(netns: str, type_: int, payload: memoryview, actor: Actor | None) -> None:
        listener[0].heard(netns, type_, payload, actor)

    ears = Ears(
        heard,
        lambda netns, actor: wakeup.hint(NatKey(netns), "nftables event", actor),
        lambda: wakeup.hint_kind(("", NetnsKey.kind), "mount event"),
        wakeup.lost,
    )
    spaces = Spaces(REGISTRY, clock, state_dir, runtime_dir, ears)
    dhcp = DhcpService(clock, LeaseStore(state_dir, clock), leased, log=said)
    core = Core(spaces, spaces.main.rtnl, clock, wakeup, journal, dhcp, _facts(dhcp, spaces, state_dir))
    core.ports = spaces.main.ports
    core.multipath = Multipathing(spaces, clock, wakeup, journal, dhcp.stored().values())
    centre.append(core)
    listener.append(Listener(core.reconciler, wakeup, core.follow, core.leasing, spaces.rtnl))

    def revert(intents: Intents) -> None:
        journal.note("not confirmed", detail="the file before is in force again")
        journal.tally.reloads["unconfirmed"] += 1
        core.adopt(intents, "not confirmed")

    file = FileKeeper(config, state_dir, clock, revert)
    reading = await asyncio.to_thread(first_reading, child, file)
    settings = reading.intents.daemon
    logs.configure(settings.log_level, settings.log_format)
    await core.prime()
    _use(file, reading, core)
    control = DaemonControl(core, file)

    def bound_server() -> "ControlServer":
        from neod.control.server import ControlServer  # 0.1 s that the first pass need not wait for

        server = ControlServer(control, runtime_dir, __version__)
        server.bind()
        return server

    await Supervisor(core, control, bound_server, file, spaces, Notify(), log).run()


def _facts(dhcp: DhcpService, spaces: Spaces, state_dir: Path) -> dict[FactKey, Fact]:
    """Return what is known before the first look: leases from the disk, and what host this is."""
    facts: dict[FactKey, Fact] = {FactKey("lease", link): lease for link, lease in dhcp.stored().items()}
    thresholds = bool(spaces.main.ports.sysctls.read(["net/ipv4/neigh/default/gc_thresh1"]))
    tried = {name: f"net/mptcp/{name}" for name in ("enabled", "path_manager", "pm_type", "scheduler", STALE)}
    there = spaces.main.ports.sysctls.read(tried.values())
    mptcp = tuple(name for name, path in tried.items() if path in there)
    facts[FactKey("host")] = Host(machine_id(state_dir), thresholds, mptcp)
    return facts


def _use(file: FileKeeper, reading: Any, core: Core) -> None:
    """Put the first reading to work; one that is only a fallback does not become the last good one anew."""
    if file.problems:
        file.current = reading
    else:
        file.use(reading)
    core.adopt(reading.intents, "start")
