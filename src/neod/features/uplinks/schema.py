"""``[uplinks.NIC]``: a NIC that exists already, and the table its addresses route through."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, Final

from neod.features.parts import Candidate, OwnAddress, PathInfo
from neod.features.path import PathFragment
from neod.features.table import Table
from neod.features.uplinks.compile import FollowFragment
from neod.features.validation import addresses
from neod.features.validation.addresses import gateway_problem, gateway_remark
from neod.features.validation.checks import InvalidValue
from neod.features.validation.context import Context
from neod.features.validation.fields import (
    CIDR_SCHEMA,
    Address,
    LinkName,
    Mptcp,
    Section,
    TableNumber,
    Validator,
    probe_key,
    release_key,
    toml_key,
)
from neod.features.validation.text import Path, path_text, show
from neod.model.facts import DhcpClient, ProbePolicy
from neod.model.want import Fragment


def _ipv4(value: object) -> IPv4Interface | str:
    if value in ("follow", "dhcp"):
        return str(value)
    try:
        return addresses.host_address(value)
    except InvalidValue as invalid:
        raise invalid.or_else('write "follow", "dhcp" or an address like "10.8.0.5/16"') from None


Ipv4: Final = Validator(_ipv4, {"anyOf": [{"enum": ["follow", "dhcp"]}, CIDR_SCHEMA]})


class Uplink(Section):
    """One NIC of the host."""

    ipv4: IPv4Interface | str = toml_key("follow", Ipv4, "follow", "dhcp", "10.8.0.5/16").says(
        "Where its IPv4 address comes from. follow: somebody else puts it there, and neod routes for whatever it is. "
        "dhcp: neod leases it. Or the address itself, in CIDR form. With the latter two neod configures the NIC alone, "
        "and also keeps a default route of a high metric in the main table."
    )
    gateway: IPv4Address | None = toml_key(None, Address, "10.8.0.1").says(
        "The router of a static address; required with one, and not allowed without."
    )
    probe: str = probe_key()
    table: int = toml_key(..., TableNumber, 33).says(
        "The number of its own routing table. There is no default, and a number in the name means nothing: ens3 has no "
        "claim to table 3."
    )
    release: bool = release_key()
    mptcp: tuple[str, ...] = toml_key(("subflow",), Mptcp, ["subflow"]).says(
        "Flags of the MPTCP endpoint of its address: subflow, signal, backup, fullmesh. An empty list makes no "
        "endpoint."
    )


def contribute(section: dict[str, Uplink], context: Context) -> Iterator[object]:
    """Yield a fragment and a path for each NIC; what leases its address, and what MPTCP can use."""
    for name, uplink in sorted(section.items()):
        place: Path = ("uplinks", name)
        if name not in context.sections.get("links", {}):  # otherwise it is that very link
            context.claim("the interface", name, path_text(place), place, "a name is there once")
        _check(uplink, place, context)
        yield _fragment(name, uplink, f"uplinks.{name}", context)
        kind = uplink.ipv4 if isinstance(uplink.ipv4, str) else "static"
        path = PathInfo(name, "", kind, uplink.table, uplink.mptcp, context.origin(*place), ProbePolicy(uplink.probe))
        yield path
        if kind == "dhcp":
            yield DhcpClient(name, name, "", probe=path.probe, release=uplink.release)
        if isinstance(uplink.ipv4, IPv4Interface):
            yield OwnAddress(uplink.ipv4.ip, f"uplinks.{name}")
        if path.mptcp:
            yield _candidate(path, uplink)


def _candidate(path: PathInfo, uplink: Uplink) -> Candidate:
    fact = {"follow": "followed", "dhcp": "lease"}.get(path.ipv4, "")
    static = uplink.ipv4.ip if isinstance(uplink.ipv4, IPv4Interface) else None
    return Candidate(path.name, "", path.name, static, fact, path.mptcp, (0, path.table), path.table, path.origin)


def _fragment(name: str, uplink: Uplink, fragment_name: str, context: Context) -> Fragment:
    origin = context.origin("uplinks", name)
    if uplink.ipv4 == "follow":
        return FollowFragment(fragment_name, name, uplink.table, origin)
    static = uplink.ipv4 if isinstance(uplink.ipv4, IPv4Interface) else None
    return PathFragment(fragment_name, name, name, static, uplink.gateway, uplink.table, None, True, origin)


def _check(uplink: Uplink, place: Path, context: Context) -> None:
    name = str(place[-1])
    context.claim("the table", uplink.table, name, (*place, "table"), "every interface has a table of its own")
    if isinstance(uplink.ipv4, IPv4Interface):
        context.claim("the address", uplink.ipv4.ip, name, (*place, "ipv4"), "every interface has its own")
        if invalid := gateway_problem(uplink.ipv4, uplink.gateway):
            context.problem((*place, "gateway" if uplink.gateway else "ipv4"), invalid.problem, invalid.hint)
        elif remark := gateway_remark(uplink.ipv4, uplink.gateway):
            context.warn((*place, "gateway"), remark)
    elif uplink.gateway is not None:
        problem = f"a gateway goes with a static address, and ipv4 is {show(uplink.ipv4)}"
        context.problem((*place, "gateway"), problem, 'leave it out, or write e.g. ipv4 = "10.8.0.5/16"')


TABLE: Final = Table(
    about="NICs that exist already, by name. neod never creates or deletes them; it keeps a routing table and a rule "
    "for their addresses.",
    section=dict[Annotated[str, LinkName], Uplink],
    contribute=contribute,
)
