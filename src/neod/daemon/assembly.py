"""Builds the daemon from its parts and runs it."""

import asyncio
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neod.control.feed import Feed
from neod.daemon.config_store import ConfigStore
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Controller
from neod.daemon.dhcp_binding import DhcpBinding
from neod.daemon.dwellers import Dwellers
from neod.daemon.effective_routes import EffectiveRoutes
from neod.daemon.event_log import EventLog
from neod.daemon.fact_collector import FactCollector
from neod.daemon.flow_cutter import FlowCutter
from neod.daemon.forwarding_reader import ForwardingReader
from neod.daemon.listener import EventListener
from neod.daemon.mptcp_controller import MptcpController
from neod.daemon.netns import EventHandlers, NamespaceRegistry
from neod.daemon.outside import Outside
from neod.daemon.supervisor import Supervisor
from neod.daemon.translation_store import TranslationStore
from neod.daemon.uplink_follower import UplinkFollower
from neod.daemon.views import causes
from neod.daemon.without_lease import WithoutLease
from neod.dhcp.runner import DhcpService
from neod.features.daemon.compile import DaemonSettings
from neod.features.forwarding import BY_LINK
from neod.features.mptcp.compile import STALE
from neod.kinds import KINDS, REGISTRY
from neod.model.facts import Host
from neod.model.ports import Ports
from neod.model.want import Fact, FactKey
from neod.observability.metrics_server import MetricsServer
from neod.reconcile.queue import HintQueue
from neod.reconcile.state import HostState

if TYPE_CHECKING:
    from neod.control.verbs.doctor import DoctorReply
    from neod.daemon.doctor.context import ProbeContext


async def run(child: "subprocess.Popen[bytes]", config_path: Path, outside: Outside) -> None:
    """Run the daemon until it is stopped. Everything is built once, each part after what it uses.

    Raises:
        ConfigError: there is no file to start from.
        NeoError: the kernel or the control socket refuse.
    """
    clock, files = outside.clock, outside.files
    log = outside.log("info", "auto")
    # Sources write to the queue, and to nothing else that is made after them.
    queue, state = HintQueue(clock), HostState(KINDS)
    event_log = EventLog(clock, Feed(), log)
    service = DhcpService(
        clock,
        outside.leases(),
        lambda link, lease: queue.put_fact(FactKey("lease", link), lease, "lease"),
        packets=outside.packets,
        rng=outside.rng,
        log=lambda event, fields: log.debug(event, **fields),
        report=lambda what, link, detail: event_log.note(what, object=f"link:{link}", detail=detail),
        tell_without=lambda links: without_lease.tell(links, causes.of_leases(controller) if links else {}),
    )
    without_lease = WithoutLease(event_log)
    dhcp, follower, forwarding = DhcpBinding(service), UplinkFollower(), ForwardingReader()
    listener = EventListener(state, queue, (follower, forwarding), dhcp)
    handlers = EventHandlers(listener.on_message, listener.on_change, queue.lost)
    namespaces = NamespaceRegistry(REGISTRY, outside, handlers)
    mptcp = MptcpController(namespaces, clock, queue, event_log, service.stored().values())
    known = initial_facts(service, namespaces.main.ports, outside.machine_id())
    facts = FactCollector(state, known, follower, forwarding, namespaces.main.ports, mptcp)
    controller = Controller(
        clock=clock,
        queue=queue,
        event_log=event_log,
        state=state,
        drivers=namespaces,
        dhcp=dhcp,
        mptcp=mptcp,
        facts=facts,
        flows=FlowCutter(event_log, TranslationStore(files.file("translation.json")), outside.cut_flows),
        dwellers=Dwellers(namespaces.named, outside, event_log),
        routes=EffectiveRoutes(state, namespaces.main.rtnl, clock, queue, event_log),
    )
    config = ConfigStore(config_path, files, clock, controller.revert, outside.reader)
    loaded = await asyncio.to_thread(config.load_initial, child)
    settings = loaded.intents.settings(DaemonSettings)
    outside.log(settings.log_level, settings.log_format)
    await controller.observe_first()
    config.start_with(loaded)
    controller.adopt(loaded.intents, "start")
    metrics_server = MetricsServer(asyncio.get_running_loop(), partial(metrics_page, controller, config), log)
    control = DaemonControl(controller, config, partial(_examine, namespaces.main.ports), metrics_server)
    server = partial(outside.server, control)
    await Supervisor(controller, control, server, metrics_server, config, namespaces, outside.notify, log).run()


def initial_facts(dhcp: DhcpService, ports: Ports, machine_id: str) -> dict[FactKey, Fact]:
    """Return what is known before the first look: leases from the disk, and what host this is."""
    facts: dict[FactKey, Fact] = {FactKey("lease", link): lease for link, lease in dhcp.stored().items()}
    thresholds = bool(ports.sysctls.read(["net/ipv4/neigh/default/gc_thresh1"]))
    by_link = bool(ports.sysctls.read([BY_LINK[6].format("all")]))
    tried = {name: f"net/mptcp/{name}" for name in ("enabled", "path_manager", "pm_type", "scheduler", STALE)}
    there = ports.sysctls.read(tried.values())
    mptcp = tuple(name for name, path in tried.items() if path in there)
    ipv6 = bool(ports.sysctls.read(["net/ipv6/conf/all/disable_ipv6"]))
    facts[FactKey("host")] = Host(machine_id, thresholds, mptcp, ipv6, by_link)
    return facts


def metrics_page(controller: Controller, config: ConfigStore) -> str:
    """Return the page for Prometheus; what makes it is not loaded for a host that serves none."""
    from neod.daemon.metrics import metrics

    return metrics(controller, config)


async def _examine(ports: Ports, context: "ProbeContext") -> "DoctorReply":
    from neod.daemon.doctor.examine import examine  # probes of many things: loaded by who asks

    return await examine(ports, context)
