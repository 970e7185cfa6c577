"""Links that neo creates: macvlans on a NIC."""

from dataclasses import dataclass

from neod.model.key import LinkKey

__all__ = ["LinkKey", "LinkSpec"]


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """What a link should be. ``None`` leaves the kernel's choice alone."""

    driver: str  # macvlan (IFLA_INFO_KIND); empty for a physical NIC
    name: str  # the name it has; differs from the key's only when somebody renamed it
    parent: str | None = None  # link name
    mode: str | None = None  # macvlan: private | vepa | bridge
    mac: str | None = None  # lower case, colons
    mtu: int | None = None  # bytes
    up: bool = True
