"""What becomes of packets that this host passes on: NAT backends, policies, forwarding, conntrack."""

from collections.abc import Iterator
from typing import Final

from neod.control.verbs.doctor import ProbeRow
from neod.daemon.doctor.context import OK, WARNING
from neod.kernel import probe
from neod.model.ports import LegacyTable, Netfilter, Ports

FULL: Final = 0.8  # of the connection table


def nat_backends(ports: Ports) -> Iterator[ProbeRow]:
    """Yield which NAT backends others use here, whether two do, and which policies drop forwarded packets."""
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
    values = ports.sysctls.read(["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"])
    on = [path.split("/")[1] for path, value in sorted(values.items()) if value != "0"]
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
    values = ports.sysctls.read([count, most])
    if count not in values or most not in values or values[most] == "0":
        yield ProbeRow("conntrack", OK, "not in use")
        return
    evidence = f"{values[count]} of {values[most]} connections"
    if int(values[count]) > FULL * int(values[most]):
        yield ProbeRow("conntrack", WARNING, evidence, "set a larger net.netfilter.nf_conntrack_max in [sysctl]")
    else:
        yield ProbeRow("conntrack", OK, evidence)
