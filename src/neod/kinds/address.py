"""Addresses on links."""

from dataclasses import dataclass

from neod.model.facts import FOREVER
from neod.model.key import AddressKey

__all__ = ["AddressKey", "AddressSpec"]


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """What an address should be; its lifetime is kept by the kernel, so that it ends without us."""

    valid_until: float = FOREVER  # seconds of CLOCK_BOOTTIME
    prefix_route: bool = False  # False: IFA_F_NOPREFIXROUTE, no route in the main table
