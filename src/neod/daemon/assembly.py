"""Builds the daemon from its parts and runs it."""

import asyncio
import gc
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neod import __version__
from neod.control.feed import Feed
from neod.daemon.config_store import ConfigStore
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Controller
from neod.daemon.event_log import EventLog
from neod.daemon.listener import Listener
from neod.daemon.main import load_initial_config
from neod.daemon.mptcp_controller import MptcpController
from neod.daemon.netns import EventHandlers, NamespaceRegistry
from neod.daemon.supervisor import Supervisor
from neod.dhcp.runner import DhcpService
from neod.dhcp.store import LeaseStore
from neod.features.intents import Intents
from neod.features.mptcp.compile import STALE
from neod.kernel.clock import SystemClock
from neod.kernel.machine import machine_id
from neod.kinds import REGISTRY
from neod.model.change import Actor
from neod.model.facts import Host, Lease
from neod.model.kind import Source
from neod.model.want import Fact, FactKey
from neod.observability import logs
from neod.observability.systemd import SystemdNotify
from neod.reconcile.queue import HintQueue

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
    log = logs.configure("info", "auto")
    clock = SystemClock()
    queue = HintQueue(clock)
    event_log = EventLog(clock, Feed(), log)
    centre: list[Controller] = []  # set below: the callbacks cannot fire before the loop goes on
    listener: list[Listener] = []

    def leased(link: str, lease: Lease | None) -> None:
        centre[0].leased(link, lease)

    def said(event: str, fields: dict[str, object]) -> None:
        log.debug(event, **fields)

    def heard(netns: str, type_: int, payload: memoryview, actor: Actor | None) -> None:
        listener[0].on_message(netns, type_, payload, actor)

    def changed(source: Source, netns: str, actor: Actor | None) -> None:
        listener[0].on_change(source, netns, actor)

    handlers = EventHandlers(heard, changed, queue.lost)
    namespaces = NamespaceRegistry(REGISTRY, clock, state_dir, runtime_dir, handlers)
    dhcp = DhcpService(clock, LeaseStore(state_dir, clock), leased, log=said)
    controller = Controller(
        namespaces, namespaces.main.rtnl, clock, queue, event_log, dhcp, _facts(dhcp, namespaces, state_dir)
    )
    controller.ports = namespaces.main.ports
    controller.mptcp = MptcpController(namespaces, clock, queue, event_log, dhcp.stored().values())
    centre.append(controller)
    listener.append(
        Listener(controller.reconciler, queue, controller.follower, controller.dhcp_binding, namespaces.rtnl)
    )

    def revert(intents: Intents) -> None:
        event_log.note("not confirmed", detail="the file before is in force again")
        event_log.counters.reloads["unconfirmed"] += 1
        controller.adopt(intents, "not confirmed")

    file = ConfigStore(config, state_dir, clock, revert)
    loaded = await asyncio.to_thread(load_initial_config, child, file)
    settings = loaded.intents.daemon
    logs.configure(settings.log_level, settings.log_format)
    await controller.observe_links()
    _use(file, loaded, controller)
    control = DaemonControl(controller, file)

    def bound_server() -> "ControlServer":
        from neod.control.server import ControlServer  # 0.1 s that the first pass need not wait for

        server = ControlServer(control, runtime_dir, __version__)
        server.bind()
        return server

    await Supervisor(controller, control, bound_server, file, namespaces, SystemdNotify(), log).run()


def _facts(dhcp: DhcpService, namespaces: NamespaceRegistry, state_dir: Path) -> dict[FactKey, Fact]:
    """Return what is known before the first look: leases from the disk, and what host this is."""
    facts: dict[FactKey, Fact] = {FactKey("lease", link): lease for link, lease in dhcp.stored().items()}
    thresholds = bool(namespaces.main.ports.sysctls.read(["net/ipv4/neigh/default/gc_thresh1"]))
    tried = {name: f"net/mptcp/{name}" for name in ("enabled", "path_manager", "pm_type", "scheduler", STALE)}
    there = namespaces.main.ports.sysctls.read(tried.values())
    mptcp = tuple(name for name, path in tried.items() if path in there)
    facts[FactKey("host")] = Host(machine_id(state_dir), thresholds, mptcp)
    return facts


def _use(file: ConfigStore, loaded: Any, controller: Controller) -> None:
    """Put the first reading to work; one that is only a fallback does not become the last good one anew."""
    if file.problems:
        file.current = loaded
    else:
        file.use(loaded)
    controller.adopt(loaded.intents, "start")
