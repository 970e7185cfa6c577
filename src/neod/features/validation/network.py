"""What a single value of the relay's and the proxy server's tables may be: ports, addresses, networks. Pure."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from neod.features.validation.addresses import cidr, is_ip, parsed_ip, plain_ip
from neod.features.validation.checks import (
    InvalidValue,
    OldSpelling,
    each,
    first_twice,
    one_of,
    spaced,
    text,
)
from neod.features.validation.text import show
from neod.model.nat import Ip, Net, ports_text

Ports = tuple[int, int]  # the first and the last
LAST_PORT: Final = 65535
NAMESPACE_CHARACTERS: Final = 64
NAMESPACE_PATTERN: Final = f"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{NAMESPACE_CHARACTERS - 1}}}"
PORT_EXAMPLE: Final = 'write e.g. ports = [443, "8000-8010"]'


def ports(value: object) -> tuple[Ports, ...]:
    """Return a list of ports and ranges, none of them twice."""
    if not isinstance(value, list | tuple):
        return (spaced_port_or_range(value),)
    if not value:
        raise InvalidValue("an empty list has no ports", PORT_EXAMPLE)
    found: tuple[Ports, ...] = each(spaced_port_or_range, value)
    for place, (first, last) in enumerate(found):
        for other in found[:place]:
            if first <= other[1] and other[0] <= last:
                raise InvalidValue(
                    f"{ports_text(first, last)} and {ports_text(*other)} overlap", "write each port once", place
                )
    return found


def port_or_range(value: object) -> Ports:
    """Return ``443`` or ``"8000-8010"`` as first and last."""
    match = re.fullmatch(" *([0-9]{1,6}) *(?:- *([0-9]{1,6}) *)?", str(value))
    if isinstance(value, bool) or not isinstance(value, int | str) or match is None:
        raise InvalidValue(f"{show(value)} is not a port or a range of ports", PORT_EXAMPLE)
    first, last = int(match[1]), int(match[2] or match[1])
    for port in (first, last):
        if port == 0:
            raise InvalidValue("port 0 is none that a packet can be sent to", f"ports go from 1 to {LAST_PORT}")
        if port > LAST_PORT:
            raise InvalidValue(f"port {port} is larger than {LAST_PORT}", f"ports go from 1 to {LAST_PORT}")
    if first > last:
        raise InvalidValue(f"the range {first}-{last} runs backwards", f'write "{last}-{first}"')
    return first, last


spaced_port_or_range: Final = spaced(port_or_range)


def ip(value: object) -> Ip:
    """Return one address of a host, of either family, without a prefix length."""
    given = text(value)
    try:
        found = parsed_ip(given)
    except InvalidValue as invalid:
        raise invalid.or_else('write e.g. "198.51.100.10"') from None
    if getattr(found, "scope_id", None):
        raise InvalidValue(f"{show(given)} is good on one link only", "write a global address")
    if found.is_multicast or found.is_unspecified or found.is_loopback or found.is_link_local:
        raise InvalidValue(
            f"{show(given)} is a multicast, loopback, link-local or unspecified address", "write that of a host"
        )
    return found


def ips(value: object) -> tuple[Ip, ...]:
    """Return a list of different addresses."""
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{show(value)} is not a list in brackets", 'write e.g. ["203.0.113.11"]')
    found: tuple[Ip, ...] = each(ip, value)
    if twice := first_twice(map(str, found)):
        raise InvalidValue(f"{twice} stands there twice", "write each address once")
    return found


def target(value: object) -> tuple[Ip, int | None]:
    """Return address and port of ``ADDR``, ``ADDR:PORT`` or ``[ADDR]:PORT``."""
    given = text(value)
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]{1,6})", given) or re.fullmatch(r"([0-9.]+):([0-9]{1,6})", given)
    if match is None:
        return ip(given), None
    return ip(match[1]), port_or_range(match[2])[0]


def source(value: object) -> Ip | str:
    if value in ("masquerade", "none"):
        return str(value)
    try:
        return ip(value)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.problem, 'write "masquerade", "none" or an address of this host') from None


def networks(value: object) -> tuple[Net, ...]:
    """Return a network, or a list with one of each family."""
    found: tuple[Net, ...] = each(network, value) if isinstance(value, list | tuple) else (network(value),)
    if twice := first_twice(str(one.version) for one in found):
        raise InvalidValue(f"there are two IPv{twice} networks", "write one of each family")
    return found


def network(value: object) -> IPv4Network | IPv6Network:
    """Return a network; an address alone is that of one host."""
    given = text(value)
    try:
        if "/" in given:
            cidr(given, "a network in CIDR form")
        elif "%" in given and is_ip(given):
            raise OldSpelling(f"{show(given)} is good on one link only", given.partition("%")[0])
        return ip_network(given)
    except InvalidValue as invalid:
        raise invalid.or_else('write e.g. "10.254.0.0/30"') from None
    except ValueError as error:
        meant = str(ip_network(given, strict=False)) if "has host bits" in str(error) else plain_ip(given)
        hint = f'write e.g. "{meant if is_ip(meant) or "/" in meant else "10.254.0.0/30"}"'
        raise InvalidValue(f"{show(given)} is not a network in CIDR form", hint) from None


def pair_networks(value: object) -> tuple[Net, ...]:
    """Return networks that have room for the two ends of a link."""
    found = networks(value)
    if not found:
        raise InvalidValue("an empty list has no network", 'write e.g. "10.254.0.0/30"')
    for one in found:
        if one.prefixlen == one.max_prefixlen or one.prefixlen < 8:
            hint = 'write e.g. "10.254.0.0/30"' if one.version == 4 else 'write e.g. "fd00:254::/126"'
            raise InvalidValue(f"{one} is no network for the two ends of a link", hint)
    return found


def exposed(value: object) -> tuple[tuple[str, int, int], ...]:
    """Return protocol, first and last port of each ``tcp/443``."""
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{show(value)} is not a list in brackets", 'write e.g. expose = ["tcp/443"]')
    found: tuple[tuple[str, int, int], ...] = each(_exposed, value)
    return found


@spaced
def _exposed(value: object) -> tuple[str, int, int]:
    protocol, slash, given = text(value).partition("/")
    if not slash:
        raise InvalidValue(f"{show(value)} is not a protocol with a port", 'write e.g. "tcp/443" or "udp/8000-8010"')
    return (one_of("tcp", "udp")(protocol), *port_or_range(given))


def namespace_name(value: object) -> str:
    """Return a name that a namespace, and the file that stands for it, can have."""
    name = text(value)
    if not re.fullmatch(NAMESPACE_PATTERN, name):
        raise InvalidValue(
            f"{show(name)} is not a name for a namespace",
            f"letters, digits, '_', '.' and '-' make one, at most {NAMESPACE_CHARACTERS}; the first is no '.' or '-'",
        )
    return name
