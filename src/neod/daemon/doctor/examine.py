"""``neodctl doctor``: what this kernel and this host allow, with evidence and remedy."""

import asyncio
from collections.abc import Iterator
from typing import Final

from neod.control.verbs.doctor import DoctorReply, ProbeRow
from neod.daemon.doctor.mptcp import PROBES, Scene
from neod.daemon.doctor.server import server_speaks
from neod.kernel import probe
from neod.model.errors import KernelError
from neod.model.ports import LegacyTable, Netfilter, Ports

OK, WARNING, PROBLEM = "ok", "warning", "problem"
STATES: Final = {"fine": OK, "warning": WARNING, "fault": PROBLEM}
ORDER: Final = {PROBLEM: 0, WARNING: 1, OK: 2}
DRIVERS: Final = {
    "macvlan": "install the modules of this kernel; macvlans cannot be made without",
    "veth": "install the modules of this kernel; namespaces cannot be connected without",
    "dummy": 'install the modules of this kernel, or write relay_link = "bridge"',
    "bridge": 'install the modules of this kernel, or write relay_link = "dummy"',
    "vlan": 'install the modules of this kernel; needed for [links] of kind = "vlan"',
    "bond": 'install the modules of this kernel; needed for [links] of kind = "bond"',
}
NEEDED: Final = ("macvlan", "veth")
MANAGERS: Final = {
    "systemd-network": "tell systemd-networkd to leave foreign rules and routes alone: etc/opt-out/networkd-neo.conf",
    "NetworkManager": "tell NetworkManager to leave neo's links alone: etc/opt-out/NetworkManager-neo.conf",
    "dhcpcd": "tell dhcpcd to leave neo's links alone: etc/opt-out/dhcpcd-neo.conf",
    "dhclient": "stop dhclient on links whose address neod leases",
    "connmand": "blacklist neo's links in /etc/connman/main.conf",
    "firewalld": "let firewalld accept what is forwarded: its policies drop it by default",
    "dockerd": "mind that Docker sets the policy of FORWARD to DROP: accept what neo translates in DOCKER-USER",
    "mptcpd": "stop mptcpd: two path managers undo each other's work",
}
FULL: Final = 0.8  # of the connection table


async def examine(ports: Ports, scene: Scene) -> DoctorReply:
    """Return all probes, the worst first; with a server in the scene, connections to it from every address."""
    rows = [
        *await asyncio.to_thread(lambda: [*drivers(), *managers(), *multipath(scene)]),
        *(row for one in (translation, forwarding, rp_filter, conntrack) for row in one(ports)),
    ]
    rows.sort(key=lambda row: (ORDER[row.state], row.name))
    return DoctorReply(all(row.state != PROBLEM for row in rows), tuple(rows))


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


def multipath(scene: Scene) -> Iterator[ProbeRow]:
    """Yield what the probes of MPTCP found."""
    for ask in (*PROBES, server_speaks):
        for found in ask(scene):
            yield ProbeRow(found.probe, STATES[found.verdict], found.evidence, found.remedy)


def translation(ports: Ports) -> Iterator[ProbeRow]:
    """Yield what keeps address translation here, whether two do, and what drops what is forwarded."""
    netfilter = ports.netfilter
    if not probe.installed("nft"):
        yield ProbeRow("nftables", WARNING, "there is no program nft", "install the package nftables")
    tables, legacy = netfilter.nft_tables(), _legacy(netfilter)
    if tables and legacy:
        evidence = f"nftables holds {', '.join(tables)}; the legacy tables {', '.join(legacy)} have rules"
        remedy = "move the rules of one to the other: who comes first is hard to see"
        yield ProbeRow("nat backends", WARNING, evidence, remedy)
    else:
        kept = f"nftables ({', '.join(tables)})" if tables else f"legacy tables ({', '.join(legacy)})"
        yield ProbeRow("nat backends", OK, f"others use {kept if tables or legacy else 'none'}")
    for chain in netfilter.nft_forward_drops():
        yield ProbeRow("forward policy", WARNING, f"{chain} drops by default", "accept there: ct status dnat")
    if netfilter.legacy_forward_drops():
        remedy = 'write [nat] backend = "iptables", whose chain comes first there'
        yield ProbeRow("forward policy", WARNING, "the legacy table filter drops by default", remedy)


def _legacy(netfilter: Netfilter) -> list[str]:
    """Return the legacy tables in which somebody else has rules."""
    names = ((version, table) for version in (4, 6) for table in netfilter.legacy_names(version))
    return [f"{table}/ipv{version}" for version, table in names if _used(netfilter.legacy_read(version, table))]


def _used(table: LegacyTable | None) -> bool:
    others = (chain for name, chain in (table or {}).items() if not name.startswith("NEO-"))
    return any(not rule.target.startswith("NEO-") for chain in others for rule in chain.rules)


def forwarding(ports: Ports) -> Iterator[ProbeRow]:
    """Yield whether packets pass through, of each version."""
    told = ports.sysctls.read(["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"])
    on = [path.split("/")[1] for path, value in sorted(told.items()) if value != "0"]
    evidence = f"on for {' and '.join(on)}" if on else "off; [forwards] and [namespaces] turn it on"
    yield ProbeRow("forwarding", OK, evidence)
    if "ipv6" in on:
        accept = ports.sysctls.read(["net/ipv6/conf/default/accept_ra"]).get("net/ipv6/conf/default/accept_ra")
        if accept == "1":
            remedy = "where the default route comes from them, set accept_ra = 2 on the uplink in [sysctl]"
            yield ProbeRow(
                "router advertisements", WARNING, "ignored where forwarding is on and accept_ra is 1", remedy
            )


def rp_filter(ports: Ports) -> Iterator[ProbeRow]:
    """Yield whether the strict check of sources, which drops what comes in by the wrong path, is on for all."""
    value = ports.sysctls.read(["net/ipv4/conf/all/rp_filter"]).get("net/ipv4/conf/all/rp_filter", "0")
    if value == "1":
        remedy = "set net.ipv4.conf.all.rp_filter = 2 in [sysctl]: of all and the interface, the larger counts"
        yield ProbeRow("rp_filter", WARNING, "strict for all interfaces", remedy)
    else:
        yield ProbeRow("rp_filter", OK, f"net.ipv4.conf.all.rp_filter is {value}")


def conntrack(ports: Ports) -> Iterator[ProbeRow]:
    """Yield how full the table of connections is."""
    count, most = "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max"
    told = ports.sysctls.read([count, most])
    if count not in told or most not in told or told[most] == "0":
        yield ProbeRow("conntrack", OK, "not in use")
        return
    evidence = f"{told[count]} of {told[most]} connections"
    if int(told[count]) > FULL * int(told[most]):
        yield ProbeRow("conntrack", WARNING, evidence, "set a larger net.netfilter.nf_conntrack_max in [sysctl]")
    else:
        yield ProbeRow("conntrack", OK, evidence)


def managers() -> Iterator[ProbeRow]:
    """Yield who else manages the network of this host."""
    running = probe.programs()
    found = [name for name in MANAGERS if name in running]
    for name in found:
        yield ProbeRow("other managers", WARNING, f"{name} runs (pid {running[name]})", MANAGERS[name])
    if not found:
        yield ProbeRow("other managers", OK, "none of those that are known")
