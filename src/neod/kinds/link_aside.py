"""Links of ours under names or MACs that belong to others of ours: they give way, wherever their own repair stands.

Two that exchanged their names are each in the other's way. Where both are
repaired in one step, ``link_room`` sees the circle; where their repairs come one
at a time, each would be refused for ever.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from neod.kinds.link_codec import IFF_UP, Links, LinkSpec, aside_mac, change_request
from neod.kinds.link_list import all_links
from neod.kinds.link_room import Item, aside_name
from neod.model.key import LinkKey
from neod.model.ports import Rtnl
from neod.netlink.rtnetlink import IFINFO, RTM_NEWLINK

Aside = tuple[int, LinkKey, LinkSpec, LinkSpec]
"""Index and key of a link, how it is, and how it is to be meanwhile."""


async def move_aside(rtnl: Rtnl, refused: Sequence[Item], keys: Mapping[int, LinkKey]) -> bool:
    """Give those of ours other names and MACs that hold what *refused* want and is not theirs; return whether any did.

    *keys*: ours by index. A rename may want the link down, before Linux 6.2.

    Raises:
        KernelError: the links could not be read.
    """
    found = list(in_the_way(refused, await all_links(rtnl), keys))
    requests = [(RTM_NEWLINK, 0, change_request(index, key, have, want)) for index, key, have, want in found]
    answers = await rtnl.send(requests)
    busy = [i for i, answer in enumerate(answers) if answer and answer.code == errno.EBUSY]
    await rtnl.send([(RTM_NEWLINK, 0, IFINFO.pack(0, 0, found[i][0], 0, IFF_UP)) for i in busy])
    await rtnl.send([requests[i] for i in busy])
    return bool(found)


def in_the_way(refused: Sequence[Item], links: Links, keys: Mapping[int, LinkKey]) -> Iterator[Aside]:
    """Yield each of ours that holds a name or MAC of *refused*, and has it from somebody else than the file."""
    wanted = {key: (spec, have) for key, spec, have in refused if have is not None}
    names = {spec.name: key for key, (spec, have) in wanted.items() if spec.name != have.name}
    macs: dict[tuple[str | None, str | None], LinkKey] = {
        (have.parent, spec.mac): key for key, (spec, have) in wanted.items() if spec.mac and spec.mac != have.mac
    }
    for reading in links.values():
        key, spec = keys.get(reading.index), reading.seen.spec
        if key is not None and reading.seen.owned:
            name = aside_name(reading.index) if names.get(spec.name, key) != key else spec.name
            mac = aside_mac(reading.index) if macs.get((spec.parent, spec.mac), key) != key else spec.mac
            if (name, mac) != (spec.name, spec.mac):
                yield reading.index, key, spec, replace(spec, name=name, mac=mac)
