"""What ``neodctl doctor`` asks about MPTCP: probes of kernel, paths and the way, each with evidence and remedy.

A probe is a function of a ``ProbeContext`` that yields findings; none changes
anything. What opens connections is in ``server``.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from neod.daemon.doctor.context import Finding, ProbeContext
from neod.netlink.mptcp_pm import MOST_ENDPOINTS

FALLBACKS: Final = {
    "MPCapableFallbackACK": "a server or something on the way answered MP_CAPABLE and then dropped MPTCP",
    "MPCapableFallbackSYNACK": "servers answered without MP_CAPABLE: they do not speak MPTCP, or it is stripped",
    "MPFallbackTokenInit": "connections were begun as MPTCP and could not be",
    "DSSNotMatching": "a middlebox changes sequence numbers or payload, or Linux resets what joins (docs/mptcp.md)",
    "InfiniteMapRx": "peers fell back to TCP in the middle of a connection",
    "MPJoinSynAckHMacFailure": "joins were answered with a wrong key: a middlebox answers for the server",
    "MPTCPRstRx": "peers closed subflows with a reason",
}
"""Counters of /proc/net/netstat that say that connections, or subflows, came about without MPTCP."""

Probe = Callable[[ProbeContext], Iterator[Finding]]


def check_mptcp_enabled(context: ProbeContext) -> Iterator[Finding]:
    """Is there MPTCP, is it switched on, and is the path manager the one of the file?"""
    root = context.proc / "sys/net/mptcp"
    if not root.is_dir():
        yield Finding("mptcp kernel", "fault", "no /proc/sys/net/mptcp", "use a kernel with CONFIG_MPTCP")
        return
    if _read(root / "enabled") != "1":
        remedy = "neod sets it where an address has mptcp flags; otherwise: sysctl net.mptcp.enabled=1"
        yield Finding("mptcp kernel", "fault", f"net.mptcp.enabled = {_read(root / 'enabled')}", remedy)
    else:
        manager = _read(root / "path_manager") or f"pm_type {_read(root / 'pm_type')}"
        yield Finding("mptcp kernel", "fine", f"enabled, path manager {manager}, scheduler {_read(root / 'scheduler')}")
    if context.manager == "neod" and context.unmanageable:
        remedy = 'use a kernel of 5.19 or newer, or write path_manager = "kernel"'
        yield Finding("mptcp path manager", "fault", context.unmanageable, remedy)


def check_endpoint_slots(context: ProbeContext) -> Iterator[Finding]:
    """Do endpoints of others take the kernel's eight slots?"""
    foreign = [f"{address} id {number}" for address, number, ours in context.endpoints if not ours]
    if foreign and context.manager == "kernel":
        evidence = f"{len(foreign)} of {MOST_ENDPOINTS} endpoints are not neo's: {', '.join(foreign[:8])}"
        remedy = "find who makes them: NetworkManager (connection.mptcp-flags 0x1 switches it off), mptcpd, a script"
        yield Finding("mptcp endpoints", "warning", evidence, remedy)
    elif context.manager == "kernel" and len(context.paths) > MOST_ENDPOINTS:
        evidence = f"{len(context.paths)} addresses for {MOST_ENDPOINTS} endpoints"
        yield Finding("mptcp endpoints", "warning", evidence, 'write [mptcp] path_manager = "neod" to use all of them')
    else:
        yield Finding("mptcp endpoints", "fine", f"{len(context.endpoints)} endpoints")


def check_fallbacks(context: ProbeContext) -> Iterator[Finding]:
    """Do the kernel's counters say that something on the way strips MPTCP?"""
    counters = mptcp_counters(_text(context.proc / "net/netstat"))
    seen = {name: counters[name] for name in FALLBACKS if counters.get(name)}
    for name, number in seen.items():
        remedy = "see which with: neodctl doctor --server ADDRESS:PORT; a relay or another port may be let through"
        yield Finding("mptcp fallback", "warning", f"{name} = {number}: {FALLBACKS[name]}", remedy)
    if not seen:
        yield Finding("mptcp fallback", "fine", "no connection fell back to TCP")


def check_gateway_macs(context: ProbeContext) -> Iterator[Finding]:
    """Do several neighbours of one link claim one MAC, or one neighbour several: proxy ARP, or ARP flux?"""
    by_ip: defaultdict[str, set[str]] = defaultdict(set)
    for line in _text(context.proc / "net/arp").splitlines()[1:]:
        words = line.split()
        if len(words) >= 6 and words[3] != "00:00:00:00:00:00":
            by_ip[words[0]].add(words[3])
    flux = {ip: macs for ip, macs in by_ip.items() if len(macs) > 1}
    for ip, macs in flux.items():
        evidence = f"{ip} answers with {len(macs)} MACs: {', '.join(sorted(macs))}"
        remedy = "two hosts have this address, or one answers for all its interfaces (arp_ignore = 1 there)"
        yield Finding("arp", "warning", evidence, remedy)
    if not flux:
        yield Finding("arp", "fine", f"{len(by_ip)} neighbours, each with one MAC")


def check_arp_flux(context: ProbeContext) -> Iterator[Finding]:
    """Does an interface answer ARP for the addresses of the others, so that the gateway sees one MAC for several?"""
    links = sorted({name for path in context.paths for name in (path.name, path.parent) if name})
    conf = context.proc / "sys/net/ipv4/conf"
    everywhere = _read(conf / "all/arp_ignore")
    silent = context.silent_nics if everywhere == "0" else links
    found = [link for link in links if link not in silent and _read(conf / link / "arp_ignore") == "0"]
    if found and len(context.paths) > 1:
        evidence = f"arp_ignore is 0 on {', '.join(found[:8])}: who asks for one address is answered for all"
        remedy = (
            "neod sets it to 1 on macvlans, and filters on their NIC (neodctl status); elsewhere write it in [sysctl]"
        )
        yield Finding("arp flux", "fault", evidence, remedy)
    others = _others_that_answer(context, {*links, *context.silent_nics}) if everywhere == "0" else {}
    for name, ip in others.items():
        evidence = f"{name} has arp_ignore 0: on the segment of {ip} it answers for that, too"
        remedy = f'its settings are not neod\'s: write "net.ipv4.conf.{name}.arp_ignore" = 1 in [sysctl], if nobody '
        remedy += f"reaches addresses of other interfaces by {name}"
        yield Finding("arp flux", "warning", evidence, remedy)
    if links and not others and not (found and len(context.paths) > 1):
        yield Finding("arp flux", "fine", "each interface answers for its own address only")


def _others_that_answer(context: ProbeContext, apart: Collection[str]) -> dict[str, IPv4Address]:
    """Return the links but *apart* that answer for what they hear of, each with an address of a path."""
    paths = [(IPv4Address(path.address), path.parent or path.name) for path in context.paths if ":" not in path.address]
    heard = {one.name: ip for one in context.host_links for ip, segment in paths if one.hears(ip, segment)}
    conf = context.proc / "sys/net/ipv4/conf"
    return {
        name: ip for name, ip in sorted(heard.items()) if name not in apart and _read(conf / name / "arp_ignore") == "0"
    }


def mptcp_counters(netstat: str) -> Mapping[str, int]:
    """Return the counters of MPTCP in the text of /proc/net/netstat."""
    lines = [line.split() for line in netstat.splitlines() if line.startswith("MPTcpExt:")]
    if len(lines) < 2:
        return {}
    return dict(zip(lines[0][1:], map(int, lines[1][1:]), strict=False))


def _read(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


PROBES: Final[tuple[Probe, ...]] = (
    check_mptcp_enabled,
    check_endpoint_slots,
    check_fallbacks,
    check_gateway_macs,
    check_arp_flux,
)
