"""MPTCP connections, for ``neodctl paths``. Pure reading."""

from collections.abc import Collection, Mapping
from typing import Final

from neod.control.verbs.paths import ConnectionRow, PathsReply, SubflowRow
from neod.daemon.controller import Controller
from neod.daemon.doctor.context import ProbeContext, ProbedPath
from neod.daemon.views import causes
from neod.features.mptcp.compile import PathManagement, address_of
from neod.features.parts import Candidate, PathInfo
from neod.kinds.mptcp import EndpointKey
from neod.model.errors import KernelError
from neod.model.facts import Multipath
from neod.model.key import AddressKey, ArpKey
from neod.model.want import FactKey
from neod.netlink.attributes import Ip
from neod.netlink.sock_diag import FLOW_BACKUP_LOC, FLOW_BACKUP_REM, ConnectionSeen, FlowSeen

ESTABLISHED, SYN_SENT, SYN_RECV = 1, 2, 3
STALLED_AFTER: Final = 2
"""Time-outs in a row after which a subflow counts as stalled: MPTCP sends its data elsewhere by then."""


async def paths_reply(controller: Controller) -> PathsReply:
    """Return every MPTCP connection of the open namespaces.

    Raises:
        KernelError: the sockets of our own namespace could not be read.
    """
    rows: list[ConnectionRow] = []
    for netns in controller.mptcp.netnses():
        try:
            seen = await controller.mptcp.dump_connections(netns)
        except KernelError:
            if not netns:
                raise
            continue
        links = _links(controller, netns)
        speaking = {(one.remote, one.remote_port) for one in seen if one.agreed and not one.fallback}
        rows += [_row(netns, one, links, fallback_reason(one, speaking) if one.fallback else "") for one in seen]
    rows.sort(key=lambda row: (row.netns, -row.sent_bytes - row.received_bytes, row.local))
    return PathsReply(round(controller.clock.boottime(), 3), tuple(rows))


async def path_towards(controller: Controller, name: str) -> str:
    """Return the path of the connection that has *name*: its token, an end, or an address of one; empty for none."""
    try:
        connections = (await paths_reply(controller)).connections
    except KernelError:
        return ""
    for one in connections:
        ends = (one.local, one.remote, *(f"{flow.source}:{flow.source_port}" for flow in one.subflows))
        if name in (str(one.token), *ends, *(end.rpartition(":")[0].strip("[]") for end in ends)):
            return next((flow.path for flow in one.subflows if flow.path), "")
    return ""


def _links(controller: Controller, netns: str) -> dict[Ip, str]:
    """Return the link of every address of a namespace."""
    return {key.ip: key.link for key in controller.state.observed.named_by(AddressKey, netns)}


def fallback_reason(seen: ConnectionSeen, speaking: Collection[tuple[Ip, int]]) -> str:
    """Return why a connection is one of plain TCP; *speaking*: servers that other connections have MPTCP with."""
    server = (seen.remote, seen.remote_port)
    if seen.agreed:
        return "MPTCP was agreed and then given up: something on the way removes or changes it"
    if server in speaking:
        return "something on the way does not let MPTCP through: another connection to this server has it"
    if not seen.asked:
        return "the kernel did not ask for MPTCP: SYNs that do got no answer lately (net.mptcp.blackhole_timeout)"
    doctor = f"neodctl doctor --server {_end(*server)}"
    return f"the server does not speak MPTCP, or something on the way removes it; by every address: {doctor}"


def _row(netns: str, seen: ConnectionSeen, links: Mapping[Ip, str], reason: str) -> ConnectionRow:
    state = "established" if seen.state == ESTABLISHED else "closing"
    side = ("server" if seen.server else "client") if seen.flows else "unknown"
    return ConnectionRow(
        seen.token,
        netns,
        _end(seen.local, seen.local_port),
        _end(seen.remote, seen.remote_port),
        side,
        "fallback" if seen.fallback else state,
        seen.sent,
        seen.received,
        tuple(_subflow(flow, links) for flow in seen.flows),
        reason,
    )


def _end(ip: Ip, port: int) -> str:
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


def _subflow(flow: FlowSeen, links: Mapping[Ip, str]) -> SubflowRow:
    return SubflowRow(
        links.get(flow.local, ""),
        str(flow.local),
        flow.local_port,
        str(flow.remote),
        flow.remote_port,
        flow.local_id,
        _state(flow),
        round(flow.tcp.rtt_ms, 2),
        flow.tcp.sent,
        flow.tcp.received,
        float(flow.tcp.rate),
        flow.tcp.retransmitted,
    )


def _state(flow: FlowSeen) -> str:
    if flow.state in (SYN_SENT, SYN_RECV):
        return "connecting"
    if flow.state != ESTABLISHED:
        return "closing"
    if flow.tcp.backoff >= STALLED_AFTER:
        return "stalled"
    return "backup" if flow.flags & (FLOW_BACKUP_LOC | FLOW_BACKUP_REM) else "established"


def probe_context(controller: Controller, server: tuple[str, int] | None) -> ProbeContext:
    """Return what the probes of MPTCP look at: the addresses that are to be paths, and what the kernel holds."""
    parents = {path.name: path.parent for path in controller.intents.of(PathInfo)}
    known_addresses = [
        (one.name, address_of(one, controller.facts.known)) for one in controller.intents.of(Candidate) if not one.netns
    ]
    seen = controller.state.observed.named_by(EndpointKey, "")
    endpoints = [(str(key.ip), one.spec.id, one.owned) for key, one in seen.items()]
    known = controller.facts.known.get(FactKey("mptcp", ""))
    return ProbeContext(
        paths=tuple(ProbedPath(name, str(found[0]), parents.get(name, "")) for name, found in known_addresses if found),
        silent_nics=tuple(
            sorted(key.name for key in controller.state.observed.named_by(ArpKey, "") if key.sort == "nic")
        ),
        manager="neod" if any(not one.netns for one in controller.intents.of(PathManagement)) else "kernel",
        unmanageable=known.unmanageable if isinstance(known, Multipath) else "",
        endpoints=tuple(sorted(endpoints)),
        waiting=tuple(causes.of_waiting(controller)),
        server=server,
    )
