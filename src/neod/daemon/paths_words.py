"""MPTCP connections in words, for ``neodctl paths``. Pure reading."""

from collections.abc import Mapping
from typing import Final

from neod.daemon.core import Core
from neod.ipc.reply_paths import ConnectionRow, PathsReply, SubflowRow
from neod.model.errors import KernelError
from neod.model.key import AddressKey
from neod.mptcp import FLOW_BACKUP_LOC, FLOW_BACKUP_REM, ConnectionSeen, FlowSeen
from neod.wire import Ip

ESTABLISHED, SYN_SENT, SYN_RECV = 1, 2, 3
STALLED_AFTER: Final = 2
"""Time-outs in a row after which a subflow counts as stalled: MPTCP sends its data elsewhere by then."""


async def paths_reply(core: Core) -> PathsReply:
    """Return every MPTCP connection of the open namespaces.

    Raises:
        KernelError: the sockets of our own namespace could not be read.
    """
    rows: list[ConnectionRow] = []
    if core.multipath is not None:
        for netns in core.multipath.netnses():
            try:
                seen = await core.multipath.census(netns)
            except KernelError:
                if not netns:
                    raise
                continue
            links = _links(core, netns)
            rows += [_row(netns, one, links) for one in seen]
    rows.sort(key=lambda row: (row.netns, -row.sent_bytes - row.received_bytes, row.local))
    return PathsReply(round(core.clock.boottime(), 3), tuple(rows))


def _links(core: Core, netns: str) -> dict[Ip, str]:
    """Return the link of every address of a namespace."""
    keys = core.reconciler.observed.of((netns, AddressKey.kind))
    return {key.ip: key.link for key in keys if isinstance(key, AddressKey)}


def _row(netns: str, seen: ConnectionSeen, links: Mapping[Ip, str]) -> ConnectionRow:
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
        round(flow.rtt_ms, 2),
        flow.sent,
        flow.received,
        float(flow.rate),
        flow.retransmitted,
    )


def _state(flow: FlowSeen) -> str:
    if flow.state in (SYN_SENT, SYN_RECV):
        return "connecting"
    if flow.state != ESTABLISHED:
        return "closing"
    if flow.backoff >= STALLED_AFTER:
        return "stalled"
    return "backup" if flow.flags & (FLOW_BACKUP_LOC | FLOW_BACKUP_REM) else "established"
