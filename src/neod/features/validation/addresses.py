"""What an address of the file may be, and how one is written that came in another form. Pure."""

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, ip_address, ip_interface

from neod.features.validation.checks import InvalidValue, OldSpelling, text
from neod.features.validation.text import show


def parsed_ip(given: str, what: str = "an IP address") -> IPv4Address | IPv6Address:
    """Return the address of either family that *given* is.

    Raises:
        InvalidValue: it is none; the hint says how it is written, where that can be told.
    """
    try:
        return ip_address(given)
    except ValueError:
        raise InvalidValue(f"{show(given)} is not {what}", _ip_hint(given)) from None


def _ip_hint(given: str) -> str:
    """Return what is meant, where somebody wrote an address in another way."""
    bare = given.strip().strip("[]")
    without_port, colon, port = bare.rpartition(":")
    if "/" in given:
        return "write it without the prefix length"
    if colon and port.isdecimal() and is_ip(without_port := plain_ip(without_port.strip("[]"))):
        return f'write it without the port: "{without_port}"'
    return f'write "{plain}"' if is_ip(plain := plain_ip(bare)) else ""


def plain_ip(given: str) -> str:
    """Return *given* without zeros before its numbers: some programs take those for octal, so no address has them."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", given) if re.fullmatch(r"[0-9.]+", given) else given


def is_ip(given: str) -> bool:
    try:
        ip_address(given)
    except ValueError:
        return False
    return True


def address(value: object) -> IPv4Address:
    """Return one IPv4 address, without a prefix length."""
    given = text(value)
    found = parsed_ip(given, "an IPv4 address")
    if not isinstance(found, IPv4Address):
        raise InvalidValue(f"{show(given)} is an IPv6 address, and this key is about IPv4")
    return found


def host_address(value: object) -> IPv4Interface:
    """Return an address with its prefix length that one host of that network can have."""
    given = text(value)
    if ":" in given:
        raise InvalidValue(f"{show(given)} is not an IPv4 address, and this key is about IPv4")
    if "/" not in given:
        address(given)
        raise InvalidValue(f"{show(given)} has no prefix length", f'write it behind the address, e.g. "{given}/24"')
    found = IPv4Interface(cidr(given, "an address in CIDR form"))
    if problem := not_a_host(found.ip, found.network):
        raise InvalidValue(f"{show(given)} {problem}", "write the address of one host")
    return found


def cidr(given: str, what: str) -> str:
    """Return *given*, which is an address and the length of a prefix in digits.

    Raises:
        OldSpelling: it has a mask, zeros before the length, or a zone.
        InvalidValue: it is something else.
    """
    address, _, length = given.partition("/")
    plain = f"{plain_ip(address.strip())}/{length.strip()}"
    try:
        meant = ip_interface(plain)
    except ValueError:
        raise InvalidValue(f"{show(given)} is not {what}") from None
    if plain != given:
        raise InvalidValue(f"{show(given)} is not {what}", f'write "{meant}"')
    if not length.isdecimal() or str(int(length)) != length or "%" in address:
        raise OldSpelling(f"{show(given)} is not {what}", re.sub("%[^/]*", "", str(meant)))
    return given


def not_a_host(ip: IPv4Address, network: IPv4Network) -> str:
    """Return why no host of *network* can have *ip*; empty if one can. RFC 3021 gives /31 two hosts."""
    if network.prefixlen == 0:
        return "has prefix length 0, which is every address there is"
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified or ip.is_reserved:
        return "is a multicast, loopback or reserved address"
    if network.prefixlen < 31 and ip == network.network_address:
        return "is the address of the network itself"
    if network.prefixlen < 31 and ip == network.broadcast_address:
        return "is the broadcast address of its network"
    return ""


def gateway_problem(interface: IPv4Interface, gateway: IPv4Address | None) -> InvalidValue | None:
    """Return why *interface* cannot reach the Internet through *gateway*; None if it can.

    One outside of the subnet is reached directly on the link, as hosters set it up: see ``gateway_remark``.
    """
    network = interface.network
    if gateway is None:
        guess = network.network_address + 1 if network.prefixlen < 31 else network.network_address
        return InvalidValue("a static address needs a gateway", f'write e.g. gateway = "{guess}"')
    if gateway == interface.ip:
        return InvalidValue(f"the gateway {gateway} is the address itself", "write the address of the router")
    if problem := not_a_host(gateway, network):
        return InvalidValue(f"the gateway {gateway} {problem}", _inside(network))
    return None


def gateway_remark(interface: IPv4Interface, gateway: IPv4Address | None) -> str:
    """Return what is unusual about a gateway; empty if nothing is. With /32 every gateway is outside."""
    if gateway is None or interface.network.prefixlen == 32 or gateway in interface.network:
        return ""
    return f"the gateway {gateway} is outside of {interface.network}: it has to answer ARP on the link itself"


def _inside(network: IPv4Network) -> str:
    if network.prefixlen > 30:
        return "write the address of the router"
    return f"write an address from {network.network_address + 1} to {network.broadcast_address - 1}"


def listen(value: object) -> str:
    """Return ``ADDRESS:PORT``, an IPv6 address in brackets."""
    given = text(value)
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", given)
    if match is None:
        raise InvalidValue(f"{show(given)} is not ADDRESS:PORT", 'write e.g. "127.0.0.1:9110" or "[::1]:9110"')
    found = parsed_ip(match[1] or match[2])
    if int(match[3]) > 65535:
        raise InvalidValue(f"port {match[3]} is larger than 65535")
    return f"[{found}]:{match[3]}" if found.version == 6 else f"{found}:{match[3]}"
