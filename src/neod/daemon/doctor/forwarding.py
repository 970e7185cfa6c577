"""What becomes of packets that this host passes on: NAT backends, policies, forwarding, conntrack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from neod.control.verbs.doctor import ProbeRow
from neod.daemon.doctor.context import OK, PROBLEM, WARNING
from neod.features.forwarding import BY_LINK, FOR_ALL
from neod.kernel import probe
from neod.kernel.netfilter.legacy.libraries import missing_text
from neod.kinds.sysctl import NOT_LINKS
from neod.model.ports import LegacyTable, Netfilter, Ports, Sysctls

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
    if (lacking := missing_text()) and legacy and not tables:
        yield ProbeRow("legacy tables", PROBLEM, lacking, 'they are what [nat] backend = "auto" chooses here')
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
    """Yield by which interfaces packets may pass through, of each version, and who opened them."""
    values = ports.sysctls.read(FOR_ALL.values())
    lines = [f"IPv{version}: {text}" for version in FOR_ALL if (text := "; ".join(_open(version, ports.sysctls)))]
    yield ProbeRow("forwarding", OK, ". ".join(lines) or "off; [forwards] and [namespaces] turn it on")
    inherited = [path for path, value in values.items() if value == "1" and ports.sysctls.originals().get(path) == "0"]
    for path in inherited:
        evidence = f"{path.replace('/', '.')} is 1 for the whole host, as neod or an older one set it"
        remedy = f'write "{path.replace("/", ".")}" = 1 in [sysctl] if others rely on it; else set it to 0'
        yield ProbeRow("forwarding for all", WARNING, evidence, remedy)
    if values.get(FOR_ALL[6]) == "1":
        accept = ports.sysctls.read(["net/ipv6/conf/default/accept_ra"]).get("net/ipv6/conf/default/accept_ra")
        if accept == "1":
            remedy = "where the default route comes from them, set accept_ra = 2 on the uplink in [sysctl]"
            yield ProbeRow(
                "router advertisements", WARNING, "ignored where forwarding is on and accept_ra is 1", remedy
            )


def _open(version: int, sysctls: Sysctls) -> Iterator[str]:
    """Yield which interfaces are open, first those of others."""
    names = sorted({path.name for path in Path(f"/proc/sys/net/ipv{version}/conf").glob("*")} - NOT_LINKS - {"lo"})
    switches = {BY_LINK[version].format(name): name for name in names}
    on = {path: switches[path] for path, value in sysctls.read(switches).items() if value == "1"}
    ours = {name for path, name in on.items() if path in sysctls.originals()}
    if sysctls.read([FOR_ALL[version]]).get(FOR_ALL[version]) == "1":
        yield "all interfaces"
    elif others := [name for name in on.values() if name not in ours]:
        yield f"{', '.join(others)} by others"
    if ours:
        yield f"{', '.join(sorted(ours))} by neod, for what it translates and nothing else"


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
