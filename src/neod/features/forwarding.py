"""The sysctls that let packets pass through the host. Pure."""

from typing import Final

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.want import Origin, Want

FORWARDING: Final = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
ON: Final = SysctlSpec("1")


def forwarding(version: int, origin: Origin) -> Want:
    """Return the sysctl for packets of an IP version."""
    return Want(SysctlKey("", FORWARDING[version]), ON, origin)
