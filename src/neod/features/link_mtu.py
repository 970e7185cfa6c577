"""The MTU of a link that is on another one: no larger than that of the NIC below. Pure."""

from neod.model.facts import Nic
from neod.model.want import FactKey, Facts, Origin


def lowest(mtu: int | None, parent: str, facts: Facts) -> int | None:
    """Return the smaller of the file's *mtu* and that of *parent*: the kernel takes no larger one, and cuts it.

    None where neither is known.

    Source: drivers/net/macvlan.c, macvlan_change_mtu; net/8021q/vlan_dev.c, vlan_dev_change_mtu.
    """
    return min((one for one in (mtu, _of(parent, facts)) if one), default=None)


def remark(mtu: int | None, parent: str, facts: Facts, origin: Origin) -> tuple[str, ...]:
    """Return what people should know where the file's *mtu* is not in force."""
    largest = _of(parent, facts)
    if not mtu or not largest or mtu <= largest:
        return ()
    return (f"{origin}: mtu = {mtu} is more than {parent} has, so its {largest} is used",)


def _of(parent: str, facts: Facts) -> int | None:
    nic = facts.get(FactKey("nic", parent))
    return nic.mtu if isinstance(nic, Nic) else None
