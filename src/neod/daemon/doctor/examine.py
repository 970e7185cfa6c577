"""``neodctl doctor``: what this kernel and this host allow, with evidence and remedy."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from neod.control.verbs.doctor import DoctorReply, ProbeRow
from neod.daemon.doctor.context import OK, ORDER, PROBLEM, WARNING, ProbeContext
from neod.daemon.doctor.forwarding import conntrack, forwarding, nat_backends, rp_filter
from neod.daemon.doctor.mptcp import PROBES
from neod.daemon.doctor.programs import managers
from neod.daemon.doctor.server import check_server_mptcp
from neod.kernel import probe
from neod.model.errors import KernelError
from neod.model.ports import Ports
from neod.netlink.host_links import host_links

STATES: Final = {"fine": OK, "warning": WARNING, "fault": PROBLEM}
DRIVERS: Final = {
    "macvlan": "install the modules of this kernel; macvlans cannot be made without",
    "veth": "install the modules of this kernel; namespaces cannot be connected without",
    "dummy": 'install the modules of this kernel, or write relay_link = "bridge"',
    "bridge": 'install the modules of this kernel, or write relay_link = "dummy"',
    "vlan": 'install the modules of this kernel; needed for [links] of kind = "vlan"',
    "bond": 'install the modules of this kernel; needed for [links] of kind = "bond"',
}
NEEDED: Final = ("macvlan", "veth")


async def examine(ports: Ports, context: ProbeContext) -> DoctorReply:
    """Return all probes, the worst first; with a server in the context, connections to it from every address."""
    rows = [
        *await asyncio.to_thread(lambda: [*drivers(), *managers(), *multipath(_with_links(context))]),
        *(ProbeRow("translation", WARNING, text) for text in context.in_the_way),
        *(ProbeRow("waiting", WARNING, text, "neodctl leases") for text in context.waiting),
        *mode(context),
        ProbeRow("marks", OK, context.marks),
        *(row for one in (nat_backends, forwarding, rp_filter, conntrack) for row in one(ports)),
    ]
    rows.sort(key=lambda row: (ORDER[row.state], row.name))
    return DoctorReply(all(row.state != PROBLEM for row in rows), tuple(rows))


def mode(context: ProbeContext) -> Iterator[ProbeRow]:
    """Yield a row where neod changes nothing."""
    if context.mode != "running":
        what = "everything of neod's was removed" if context.mode == "down" else "nothing is put right"
        yield ProbeRow("mode", WARNING, f"neod is {context.mode}: {what}", "neodctl resume")


def _with_links(context: ProbeContext) -> ProbeContext:
    with suppress(OSError):
        return replace(context, host_links=host_links())
    return context


def drivers() -> Iterator[ProbeRow]:
    """Yield a row for each driver of links that neo may need."""
    try:
        found = probe.link_drivers(DRIVERS)
    except (OSError, KernelError) as error:
        yield ProbeRow("link drivers", WARNING, f"could not be tried: {error}", "run neod as root")
        return
    for name, remedy in DRIVERS.items():
        if found.get(name):
            yield ProbeRow(f"driver {name}", OK, "a link was made in a namespace of its own")
        else:
            state = PROBLEM if name in NEEDED else WARNING
            yield ProbeRow(f"driver {name}", state, "the kernel does not know it", remedy)


def multipath(context: ProbeContext) -> Iterator[ProbeRow]:
    """Yield what the probes of MPTCP found."""
    for ask in (*PROBES, check_server_mptcp):
        for found in ask(context):
            yield ProbeRow(found.probe, STATES[found.verdict], found.evidence, found.remedy)
