"""``[namespaces.NAME]``: a namespace in which a proxy program runs, with the relays' addresses."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

from pydantic import Field

from neod.features.forwarding import Opening
from neod.features.intents import Intents
from neod.features.namespaces.compile import (
    RELAYS,
    ExitFragment,
    NamespaceFragment,
    NamespaceInfo,
    ends,
    has_ipv6,
    outside_link,
    relay_sources,
)
from neod.features.parts import (
    Candidate,
    ExplicitSysctl,
    ImpliedSysctl,
    Leaving,
    NatPart,
    OwnAddress,
    PathInfo,
    without_ipv6,
)
from neod.features.table import NOTHING_IN_IT, Table
from neod.features.validation import network, patterns, units
from neod.features.validation.checks import InvalidValue
from neod.features.validation.context import Context
from neod.features.validation.fields import LinkName, Mptcp, Section, TruthOf01, Validator, one_of, toml_key
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.sysctl import SYSCTLS, leaves, proc_path, proc_value
from neod.features.validation.text import Path, natural_sort_key, path_text, show
from neod.model.nat import Dnat, Ip, NatRule, Net, SnatFrom, ports_text
from neod.model.want import Origin

NamespaceName = Annotated[str, Validator(network.namespace_name, text_like(network.NAMESPACE_PATTERN))]
UNITS: Final = list_of(text_like(units.PATTERN), uniqueItems=True)
NETWORK: Final = text_like(patterns.NETWORK)
NETWORKS: Final = {"anyOf": [NETWORK, list_of(NETWORK, maxItems=2)]}
PAIR_NETWORKS: Final = {"anyOf": [NETWORK, list_of(NETWORK, 1, maxItems=2)]}


def _without_relays(section: Any, _: Intents) -> str:
    return "" if section.relay_addresses else "there are no relay_addresses"


def _of_no_relay(section: Any, _: Intents) -> str:
    """A network serves the relays of its own family."""
    versions = {ip.version for ip in section.relay_addresses}
    unused = [net for net in section.relay_snat if net.version not in versions]
    return f"there are no IPv{unused[0].version} relay_addresses, so {unused[0]} is for nobody" if unused else ""


class Namespace(Section):
    """One namespace."""

    uplink: str = toml_key(..., LinkName, "eth0").says("The interface to the Internet, in neod's own namespace.")
    subnet: tuple[Net, ...] = toml_key(
        ..., Validator(network.pair_networks, PAIR_NETWORKS), "10.254.0.0/30", ["10.254.0.0/30", "fd00:254::/126"]
    ).says(
        "The network of the veth pair: its first address is outside, the second inside. A list of two for both "
        "families."
    )
    expose: tuple[tuple[str, int, int], ...] = toml_key(
        (), Validator(network.exposed, list_of(text_like(f"(tcp|udp)/{patterns.PORTS}"))), ["tcp/443", "udp/8000-8010"]
    ).says("Ports of the uplink's addresses that lead into the namespace.")
    masquerade: bool = toml_key(True, TruthOf01, True).says(
        "Whether what comes from inside leaves with the uplink's address."
    )
    relay_addresses: tuple[Ip, ...] = toml_key(
        (), Validator(network.ips, list_of(text_like(patterns.IP), uniqueItems=True)), ["203.0.113.11", "203.0.113.12"]
    ).says("The public addresses of relays. They are local inside, so that MPTCP can announce them.")
    relay_link: str = toml_key("dummy", one_of("dummy", "bridge"), "dummy", idle=_without_relays).says(
        "What holds the relays' addresses: a dummy, or a bridge without ports, for kernels without the dummy driver."
    )
    relay_snat: tuple[Net, ...] = toml_key(
        (), Validator(network.networks, NETWORKS), "10.254.1.0/24", idle=_of_no_relay
    ).says(
        "Packets from the i-th relay address enter the namespace from the i-th address of this network. The kernel "
        "refuses packets whose source is an address of its own. A list of two for both families."
    )
    mptcp: tuple[str, ...] = toml_key(("signal",), Mptcp, ["signal"], idle=_without_relays).says(
        "Flags of the MPTCP endpoints of the relays' addresses."
    )
    on_recreate: tuple[str, ...] = toml_key((), Validator(units.names, UNITS), ["v2ray.service"]).says(
        "systemd units to restart, if they run, when the namespace had to be made anew: their programs would go on in "
        "the old one. One in which programs are seen to live gets its name back instead."
    )
    sysctl: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict,
            description="Sysctls below net inside the namespace.",
            examples=[{"net.ipv4.tcp_congestion_control": "bbr"}],
            json_schema_extra={"patternProperties": SYSCTLS},
        ),
    ]


def contribute(section: dict[str, Namespace], context: Context) -> Iterator[object]:
    """Yield a fragment, a part of the NAT rules and a row for each namespace, and candidates for endpoints."""
    for name, namespace in sorted(section.items(), key=natural_sort_key):
        place: Path = ("namespaces", name)
        origin = context.origin(*place)
        _check(name, namespace, place, context)
        sysctls = tuple(_sysctls(namespace, place, context))
        subnets, relays = namespace.subnet, namespace.relay_addresses
        yield NamespaceFragment(name, subnets, relays, namespace.relay_link, sysctls, origin)
        yield NatPart(tuple(_nat_rules(name, namespace, place)), origin)
        link = outside_link(name)
        yield _silence(link, subnets, origin)
        yield from (Opening(subnet.version, origin, (namespace.uplink, link), inside=link) for subnet in subnets)
        holder = f"namespaces.{name}"
        yield from (Leaving(subnet, namespace.uplink, holder, origin) for subnet in subnets if subnet.version == 4)
        yield _row(name, namespace, place, context)
        yield from (ExplicitSysctl(name, path, value) for path, value in sysctls)
        yield from (OwnAddress(ends(subnet)[0], holder) for subnet in subnets)
        if namespace.mptcp:
            for number, ip in enumerate(relays):
                yield Candidate(name, name, RELAYS, ip, "", namespace.mptcp, (0, number), False, origin)
    _report_overlaps(section, context)


def finalize(intents: Intents, context: Context) -> Iterator[ExitFragment]:
    """Yield what leads a network inside out by its uplink, where that has a table: those are IPv4."""
    _report_taken(intents, context)
    paths = {path.name: path for path in intents.of(PathInfo)}
    yield from (ExitFragment(one, paths[one.link]) for one in intents.of(Leaving) if one.link in paths)


def _report_taken(intents: Intents, context: Context) -> None:
    """What other tables say of addresses of this host is hardly a relay's, nor in a network of the namespace."""
    section: dict[str, Namespace] = context.sections.get("namespaces") or {}
    for name, namespace in sorted(section.items(), key=natural_sort_key):
        place: Path = ("namespaces", name)
        relays = {ip: index for index, ip in enumerate(namespace.relay_addresses)}
        sources = {rule.by for rule in relay_sources(namespace.relay_addresses, namespace.relay_snat, name)}
        for one in (one for one in intents.of(OwnAddress) if one.holder != f"namespaces.{name}"):
            if one.ip in relays:
                where = (*place, "relay_addresses", relays[one.ip])
                text = f"{one.ip} is an address of this host, says {one.holder}, and local inside as well"
                context.warn(where, f"{text}: this host itself does not reach what is exposed by it")
            if one.ip in sources:
                problem = f"packets of a relay would come from {one.ip}, an address of this host ({one.holder})"
                context.problem((*place, "relay_snat"), problem, "write a network of its own")
                continue
            for key, nets in (("subnet", namespace.subnet), ("relay_snat", namespace.relay_snat)):
                if any(one.ip in net for net in nets) and not one.holder.startswith("namespaces."):
                    text = f"{one.ip}, an address of this host ({one.holder}), is in this network"
                    context.warn((*place, key), f"{text}; one of its own is safer")


def _silence(link: str, subnets: Iterable[Net], origin: Origin) -> ImpliedSysctl:
    """Return what keeps router advertisements from inside away: programs there do not choose the host's routes."""
    accept_ra = ImpliedSysctl(f"net/ipv6/conf/{link}/accept_ra", "0", origin)
    return accept_ra if has_ipv6(subnets) else without_ipv6(link, origin)


def _nat_rules(name: str, namespace: Namespace, place: Path) -> Iterator[tuple[NatRule, Path]]:
    link = outside_link(name)
    for subnet in namespace.subnet:
        inside = ends(subnet)[1]
        for number, (protocol, first, last) in enumerate(namespace.expose):
            yield Dnat(protocol, first, last, inside, interface=namespace.uplink), (*place, "expose", number)
        if namespace.masquerade:
            yield SnatFrom(subnet, namespace.uplink), (*place, "masquerade")
    for rule in relay_sources(namespace.relay_addresses, namespace.relay_snat, link):
        yield rule, (*place, "relay_snat")


def _row(name: str, namespace: Namespace, place: Path, context: Context) -> NamespaceInfo:
    return NamespaceInfo(
        name,
        namespace.uplink,
        ", ".join(map(str, namespace.subnet)),
        tuple(f"{protocol}/{ports_text(first, last)}" for protocol, first, last in namespace.expose),
        tuple(map(str, namespace.relay_addresses)),
        (outside_link(name),),
        context.origin(*place),
        namespace.on_recreate,
    )


def _sysctls(namespace: Namespace, place: Path, context: Context) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for path, key, value in leaves(namespace.sysctl, (*place, "sysctl")):
        if value == {}:
            context.warn(path, NOTHING_IN_IT)
            continue
        try:
            name, given = proc_path(key), proc_value(value)
        except InvalidValue as invalid:
            context.problem(path, invalid.problem, invalid.hint)
            continue
        if found.get(name) == given:
            context.warn(path, "another line says the same already")
        else:
            context.claim(f"in {place[-1]} the sysctl", name, show(key), path, "keep one of the two")
        found.setdefault(name, given)
    yield from found.items()


def _check(name: str, namespace: Namespace, place: Path, context: Context) -> None:
    link = outside_link(name)
    context.claim("the interface", link, path_text(place), place, "give the namespace another name")
    if link == namespace.uplink:
        context.problem((*place, "uplink"), f"{link} is the namespace's own end", "name the NIC to the Internet")
    for subnet in namespace.subnet:
        for ip in ends(subnet):
            context.claim("the address", ip, path_text(place), (*place, "subnet"), "give each its own")
    _check_relays(namespace, place, context)


def _check_relays(namespace: Namespace, place: Path, context: Context) -> None:
    versions = {subnet.version for subnet in namespace.subnet}
    for number, ip in enumerate(namespace.relay_addresses):
        where = (*place, "relay_addresses", number)
        if ip.version not in versions:
            problem = f"{ip} is IPv{ip.version}, and the subnet has none of that"
            context.problem(where, problem, f"add an IPv{ip.version} network to subnet")
        elif any(ip in net for net in (*namespace.subnet, *namespace.relay_snat) if net.version == ip.version):
            context.problem(where, f"{ip} is in a network of the namespace itself", "write the relay's public address")
    for net in namespace.relay_snat:
        relays = sum(ip.version == net.version for ip in namespace.relay_addresses)
        if relays > net.num_addresses - 2 and relays > 0:
            problem = f"{net} has no room for {relays} relay addresses"
            context.problem((*place, "relay_snat"), problem, "write a larger network")
        if any(net.overlaps(subnet) for subnet in namespace.subnet if subnet.version == net.version):
            context.problem((*place, "relay_snat"), f"{net} overlaps the subnet", "write a network of its own")
    covered = {net.version for net in namespace.relay_snat}
    if lacking := [ip for ip in namespace.relay_addresses if ip.version not in covered]:
        text = (
            f"without relay_snat the kernel refuses what the relay at {lacking[0]} hands on: its source is local inside"
        )
        context.warn((*place, "relay_addresses"), text)


def _report_overlaps(section: dict[str, Namespace], context: Context) -> None:
    """No two namespaces may have networks in common."""
    nets = [
        (net, name, key)
        for name, namespace in sorted(section.items(), key=natural_sort_key)
        for key, found in (("subnet", namespace.subnet), ("relay_snat", namespace.relay_snat))
        for net in found
    ]
    for place, (net, name, key) in enumerate(nets):
        for other, there, _ in nets[:place]:
            if there != name and net.version == other.version and net.overlaps(other):
                problem = f"{net} overlaps {other} of namespaces.{there}"
                context.problem(("namespaces", name, key), problem, "give each its own", once=True)


TABLE: Final = Table(
    about="Namespaces for proxy programs, usable with ip netns and NetworkNamespacePath=, by name.",
    section=dict[NamespaceName, Namespace],
    contribute=contribute,
    finalize=finalize,
)
