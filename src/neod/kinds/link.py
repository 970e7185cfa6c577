"""Links that neo creates. Existing NICs are seen, never touched."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import ClassVar, Final

from neod.kinds import link_options
from neod.kinds.link_aside import move_aside
from neod.kinds.link_codec import (
    ALIAS_PREFIX,
    IFF_LOWER_UP,
    IFF_UP,
    IFLA_GROUP,
    IFLA_IFNAME,
    LOOPBACK,
    LinkSpec,
    Reading,
    alias_request,
    by_key,
    change_request,
    create_request,
    from_wire,
    missing,
    named,
    up_request,
    with_options,
)
from neod.kinds.link_list import all_links
from neod.kinds.link_obstacles import in_use, mac_elsewhere, of_link
from neod.kinds.link_pair import Pairs
from neod.kinds.link_room import Item, aside_of, born_with, may_be_held_by_us
from neod.model.change import Seen
from neod.model.errors import KernelError, Obstacle
from neod.model.key import Key, LinkKey, NetnsKey
from neod.model.kind import Entry, Kind, LinkNews, Mention, Names
from neod.model.marks import DOOMED_GROUP
from neod.model.ports import Ports
from neod.netlink.attributes import attr_u32, attrs, text
from neod.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from neod.netlink.rtnetlink import (
    AF_BRIDGE,
    IFINFO,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTNLGRP_LINK,
    SKIP_STATS,
    link_name,
)

IFLA_NEW_NETNSID: Final = 45  # in a deletion: the link goes on in another namespace

__all__ = ["LinkDriver", "LinkKey", "LinkKind", "LinkSpec"]

ONE_BY_ONE: Final = 48
"""More links than this, and than a third of all, are read with one dump: one alone costs about twice its share."""


class LinkKind(Kind[LinkKey, LinkSpec]):
    """Links by name: a different parent or driver is a re-creation, anything else a change in place."""

    name: ClassVar[str] = "link"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_LINK,)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWLINK, RTM_DELLINK)
    verbs: ClassVar[Mapping[int, str]] = {RTM_NEWLINK: "link set", RTM_DELLINK: "link del", RTM_GETLINK: "link get"}
    delete_before_create: ClassVar[bool] = True  # a name and, on one parent, a MAC can be held once
    create_fails_if_exists: ClassVar[bool] = True
    moves_addresses: ClassVar[bool] = True
    leads_path: ClassVar[bool] = True
    read_first: ClassVar[bool] = True

    def interface(self, key: LinkKey) -> str:
        return key.name

    def matches(self, have: LinkSpec, want: LinkSpec) -> bool:
        """Whether all that *want* names is so."""
        return (
            (have.driver, have.name, have.parent, have.up) == (want.driver, want.name, want.parent, want.up)
            and all(
                wanted is None or wanted == seen
                for wanted, seen in (
                    (want.mode, have.mode),
                    (want.mac, have.mac),
                    (want.mtu, have.mtu),
                    _far(have, want),
                )
            )
            and not missing(have, want)
            and have.master in ("", want.master)
            and have.marked
        )

    def usable(self, have: LinkSpec) -> bool:
        """What others do to one whose name is another's would be done to that one."""
        return not have.displaced

    def reclaims(self, have: LinkSpec, want: LinkSpec, *, made: bool) -> bool:
        """One that has the alias that we gave it has lost its group only; any other under the name is another's."""
        return not have.marked and self.in_place(have, want)

    def in_place(self, have: LinkSpec, want: LinkSpec) -> bool:
        """A link cannot change its parent, where its other end is, what it is, and some options."""
        wanted, seen = _far(have, want)
        same = (have.driver, have.parent) == (want.driver, want.parent) and wanted in (None, seen)
        return same and not link_options.create_only(want.driver, missing(have, want))

    def requires(self, key: LinkKey, spec: LinkSpec) -> Iterable[Key]:
        """A macvlan or vlan needs its parent. Of a pair, the outer end is made with the inner one in its namespace."""
        if spec.peer is not None:
            return (NetnsKey("", spec.peer.netns),) if spec.peer.netns else (spec.peer,)
        return (LinkKey(key.netns, spec.parent),) if spec.parent else ()

    def path(self, key: LinkKey, spec: LinkSpec | None, tables: Mapping[int, str]) -> str:
        return key.name

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the link by the name it has and by the name it had.

        One that is down, or gone, has lost its routes. A new link sends several messages, and its carrier more: of one
        that is up, all are alike, and show it whole. One of ours without an alias is new, or has lost it: that is read.
        What a bridge says of its port is not about the link: it is "deleted" when it leaves the bridge.
        """
        if payload[0] == AF_BRIDGE:
            return ()
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        reading = from_wire(payload, attrs(payload, IFINFO.size), names)
        name, before, owned = reading.seen.spec.name, names(index), reading.seen.owned
        down = message == RTM_DELLINK or (not flags & IFF_UP and before is not None)  # a new one had nothing to lose
        keys = tuple(LinkKey(netns, one) for one in ((name,) if before in (None, name) else (name, before)))
        bare = owned and before is not None and not reading.alias
        deep, shows = keys if down else (), None if down or bare else reading.seen
        others = (Mention(key, owned, deep) for key in keys[1:])
        return Mention(keys[0], owned, deep, shows, before == name, before is None), *others

    def link_of_event(self, message: int, payload: memoryview) -> LinkNews | None:
        """Return index, name and carrier; a link that is gone has none."""
        if payload[0] == AF_BRIDGE:
            return None
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        gone = message == RTM_DELLINK
        moved = gone and IFLA_NEW_NETNSID in attrs(payload, IFINFO.size)
        return LinkNews(index, link_name(payload), not gone and bool(flags & IFF_LOWER_UP), gone, moved)

    def loses_dependents(self, before: Seen[LinkSpec] | None, after: Seen[LinkSpec] | None) -> bool:
        """The kernel drops addresses and routes with a link, and routes when it is set down."""
        return (before and before.spec.up) != (after and after.spec.up)


def _far(have: LinkSpec, want: LinkSpec) -> tuple[str | None, str | None]:
    """Return the namespaces where the other ends are; None where it is our own, which says nothing."""
    return (want.peer and want.peer.netns) or None, have.peer.netns if have.peer else None


def _with_peer(reading: Reading, pairs: Mapping[int, str]) -> Seen[LinkSpec]:
    if reading.index not in pairs:
        return reading.seen
    return replace(reading.seen, spec=replace(reading.seen.spec, peer=LinkKey(pairs[reading.index], "")))


class LinkDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl, self._moved, self._sysctls = ports.netns, ports.rtnl, ports.moved_links, ports.sysctls
        self._pairs = Pairs(ports.rtnl, ports.namespaces)
        self._indexes: dict[LinkKey, int] = {}  # of ours; a renamed link has no name to find it by
        self._keys: dict[int, LinkKey] = {}  # the reverse
        self._macvlans: set[int] = set()  # of others, by index: no parents, see ``link_obstacles``

    async def observe(self, keys: Collection[LinkKey]) -> Mapping[LinkKey, Seen[LinkSpec]]:
        """Read *keys* by name, or everything where that is cheaper."""
        if len(keys) > max(ONE_BY_ONE, self._rtnl.known() // 3):
            return await self.observe_all(keys)
        ours = {key: IFINFO.pack(0, 0, index, 0, 0) for key in keys if (index := self._indexes.get(key))}
        by_index = await self._get(ours)
        at_home = {key for key, payload in by_index.items() if link_name(payload) == key.name}
        by_name = await self._get({key: named(key.name) for key in keys if key not in at_home})
        for key in keys:
            if key not in by_index and key not in by_name:
                self._forget(key.name)
        payloads = list({IFINFO.unpack_from(p)[2]: p for p in (*by_index.values(), *by_name.values())}.values())
        return self._read(payloads, await self._pairs.namespaces(payloads))

    async def _get(self, heads: Mapping[LinkKey, bytes]) -> dict[LinkKey, memoryview]:
        """Return what is there of the links that *heads* name, by the key that they were asked for under."""
        answers = await self._rtnl.get([(RTM_GETLINK, head + SKIP_STATS) for head in heads.values()]) if heads else ()
        found = {}
        for key, answer in zip(heads, answers, strict=True):
            if not isinstance(answer, KernelError):
                found[key] = answer[1]
            elif answer.code != errno.ENODEV:
                raise answer
        return found

    async def observe_all(self, wanted: Collection[LinkKey]) -> Mapping[LinkKey, Seen[LinkSpec]]:
        """Read every link: any of them can be somebody's parent."""
        dumped = await self._rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)
        payloads = [payload for _, payload in dumped]
        return self._read(payloads, await self._pairs.namespaces(payloads))

    def _read(self, payloads: Sequence[memoryview], pairs: Mapping[int, str]) -> dict[LinkKey, Seen[LinkSpec]]:
        parsed = [(payload, attrs(payload, IFINFO.size)) for payload in payloads]
        for payload, values in parsed:  # a parent may come after its child
            index = IFINFO.unpack_from(payload)[2]
            self._rtnl.learn(index, self._keys[index].name if index in self._keys else text(values[IFLA_IFNAME]))
        readings = [(payload, from_wire(payload, values, self._rtnl.name_of)) for payload, values in parsed]
        # Inside a namespace is only the bridge of relay_link, which has no options: no reason to import pyroute2.
        found = by_key(
            self._netns, [r if self._netns else with_options(payload, r) for payload, r in readings], self._keys
        )
        for key, reading in found.items():
            self._rtnl.learn(reading.index, key.name)  # what is on a renamed link still belongs to its key
            if reading.seen.owned:
                self._note_index(key, reading.index)
            elif reading.seen.spec.driver == "macvlan":
                self._macvlans.add(reading.index)
        return {key: _with_peer(reading, pairs) for key, reading in found.items()}

    def _note_index(self, key: LinkKey, index: int) -> None:
        self._keys.pop(self._indexes.get(key, 0), None)
        self._indexes[key], self._keys[index] = index, key

    def _forget(self, name: str) -> None:
        self._keys.pop(self._indexes.pop(LinkKey(self._netns, name), 0), None)
        index = self._rtnl.index_of(name)
        if index is not None:
            self._rtnl.learn(index, None)

    async def put(self, items: Sequence[Item]) -> Sequence[KernelError | None]:
        """Create or change every link, then note on each new one what it is."""
        await self._remove_moved(items)
        items = await self._set_aside(await self._with_what_came_along(items))
        answers = await self._send(items)
        held = [i for i, answer in enumerate(answers) if answer and may_be_held_by_us(answer, *items[i])]
        for i, answer in zip(held, await self._put_after_making_room([items[i] for i in held]), strict=True):
            answers[i] = answer
        created = {
            key: spec
            for (key, spec, have), answer in zip(items, answers, strict=True)
            if (have is None or born_with(spec)) and answer is None
        }
        if created:
            await self._note(created)
        return answers

    async def _remove_moved(self, items: Sequence[Item]) -> None:
        """Delete what somebody moved to another namespace: it is ours, and not where the file wants it."""
        new = [(key, spec) for key, spec, have in items if have is None and spec.parent]
        if moved := [self._mark(key, spec) for key, spec in new if self._rtnl.take_moved(key.name)]:
            await self._moved.remove(moved)

    def _mark(self, key: LinkKey, spec: LinkSpec) -> tuple[str, int]:
        return ALIAS_PREFIX + key.name, self._rtnl.index_of(spec.parent or "") or 0

    async def _set_aside(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return *items* with those that had to give their name or MAC to others under another one, where it worked."""
        if not (aside := aside_of(items, self._indexes)):
            return items
        moves = [(key, aside[key], have) for key, _, have in items if key in aside]
        answers = await self._send(moves)
        busy = [move for move, answer in zip(moves, answers, strict=True) if answer]
        answers = [*answers, *await self._put_after_making_room(busy)]
        done = {key for (key, _, _), answer in zip([*moves, *busy], answers, strict=True) if answer is None}
        return [(key, spec, aside[key] if key in done else have) for key, spec, have in items]

    async def _with_what_came_along(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return *items* with the inner ends of pairs as they are: they were made with the outer ones."""
        born = [key for key, spec, have in items if have is None and born_with(spec)]
        if not born:
            return items
        there = await self.observe(born)
        return [(key, spec, there[key].spec if key in there else have) for key, spec, have in items]

    async def _send(self, items: Sequence[Item]) -> list[KernelError | None]:
        """Send a request for each item: first those that change links, and may give a name or a MAC away."""
        answers: list[KernelError | None] = [None] * len(items)
        self._turn_ipv6_off([have.name for _, spec, have in items if spec.quiet and have and not have.up])
        requests: list[tuple[int, int, bytes]] = []
        sent: list[int] = []
        with ExitStack() as until:
            for place in sorted(range(len(items)), key=lambda place: items[place][2] is None):
                key, spec, have = items[place]
                try:
                    requests.append(self._request(key, spec, have, until))
                    sent.append(place)
                except KernelError as error:
                    answers[place] = error
            for place, answer in zip(sent, await self._rtnl.send(requests), strict=True):
                answers[place] = answer
        quiet = [place for place in sent if items[place][1].quiet and not (items[place][2] or answers[place])]
        made = [items[place][:2] for place in quiet]
        for place, answer in zip(quiet, await self._set_up_quiet(made), strict=True):
            answers[place] = answer
        return answers

    async def _set_up_quiet(self, made: Sequence[tuple[LinkKey, LinkSpec]]) -> Sequence[KernelError | None]:
        """Set links up that were just made; one that cannot come up is taken away, as the kernel does itself."""
        self._turn_ipv6_off([spec.name for _, spec in made])
        answers = await self._rtnl.send([(RTM_NEWLINK, 0, up_request(key, spec)) for key, spec in made])
        failed = [spec.name for (_, spec), answer in zip(made, answers, strict=True) if answer]
        await self._rtnl.send([(RTM_DELLINK, 0, named(name)) for name in failed])
        return answers

    def _turn_ipv6_off(self, names: Sequence[str]) -> None:
        """Before a link is up: it then has no link-local address, solicits nobody, and hears no router.

        What cannot be written is no error here: the sysctl is wanted on its own, too.

        Source: Documentation/networking/ip-sysctl.rst, disable_ipv6.
        """
        if names:
            self._sysctls.change({f"net/ipv6/conf/{name}/disable_ipv6": "1" for name in names})

    def _request(self, key: LinkKey, spec: LinkSpec, have: LinkSpec | None, until: ExitStack) -> tuple[int, int, bytes]:
        if have is not None:
            index = self._indexes.get(key) or self._rtnl.index_of(key.name)
            if not index:  # zero would be all links of a group
                raise KernelError("link set", errno.ENODEV, f"there is no {key.name}")
            return RTM_NEWLINK, 0, change_request(index, key, have, spec)
        if born_with(spec):
            raise KernelError("link add", errno.ENODEV, f"{spec.peer or 'its namespace'} has to be made first")
        end = self._pairs.other_end(spec.peer, until) if spec.peer else b""
        parent = self._rtnl.index_of(spec.parent) if spec.parent else 0
        if parent is None:
            raise KernelError("link add", errno.ENODEV, f"there is no {spec.parent}")
        if spec.driver == "macvlan" and parent in self._macvlans:
            raise KernelError("link add", errno.EINVAL, f"{spec.parent} is a macvlan itself")
        return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, create_request(spec, parent, end)

    async def _put_after_making_room(self, items: Sequence[Item]) -> Sequence[KernelError | None]:
        """A MAC in use on the parent may be our own link, moved to another namespace; a rename may want it down."""
        new = {self._mark(key, spec): (key, spec) for key, spec, have in items if have is None}
        gone = await self._moved.remove(new) if new else ()
        half_made = [key for mark, (key, spec) in new.items() if mark not in gone and not spec.options]
        await self._rtnl.send([(RTM_DELLINK, 0, named(key.name)) for key in half_made])  # they could not come up
        there = [index for key, _, have in items if have and (index := self._indexes.get(key))]
        if there and await move_aside(self._rtnl, items, self._keys):
            return await self._send(items)
        await self._rtnl.send([(RTM_NEWLINK, 0, IFINFO.pack(0, 0, index, 0, IFF_UP)) for index in there])
        return await self._send([(key, spec, replace(have, up=False) if have else None) for key, spec, have in items])

    async def _note(self, created: Mapping[LinkKey, LinkSpec]) -> None:
        """Learn the new indexes and write the aliases not yet there: macvlan drops an alias given at creation."""
        if len(created) > ONE_BY_ONE:
            for _, payload in await self._rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS):
                self._rtnl.learn(IFINFO.unpack_from(payload)[2], link_name(payload))
            for key in created:
                if index := self._rtnl.index_of(key.name):
                    self._note_index(key, index)
        else:
            await self.observe(list(created))
        requests = [
            (RTM_NEWLINK, 0, alias_request(index, key))
            for key, spec in created.items()
            if not spec.quiet and (index := self._rtnl.index_of(key.name))
        ]
        await self._rtnl.send(requests)

    async def explain(self, refused: Sequence[tuple[LinkKey, LinkSpec, KernelError]]) -> Sequence[Obstacle | None]:
        """Return who is in the way of each, here or, with a MAC, in another namespace."""
        links = await all_links(self._rtnl, options=any(spec.driver == "vlan" for _, spec, _ in refused))
        found = [of_link(self._netns, spec, error, links) for _, spec, error in refused]
        hidden = [in_use(error) and one is None for (_, _, error), one in zip(refused, found, strict=True)]
        parents = {spec.parent for (_, spec, _), it_is in zip(refused, hidden, strict=True) if it_is and spec.parent}
        elsewhere = {one: await self._moved.holders(links[one].index) for one in sorted(parents & links.keys())}
        return [
            mac_elsewhere(spec, elsewhere.get(spec.parent or "", {})) if it_is else one
            for (_, spec, _), one, it_is in zip(refused, found, hidden, strict=True)
        ]

    async def drop(self, keys: Sequence[LinkKey]) -> Sequence[KernelError | None]:
        """Delete every link; what is gone is done. A loopback cannot go, and is left.

        Many at once are gathered in a link group of their own, and the group is deleted: the kernel then waits for one
        grace period instead of one a link (1000 macvlans: 0.2 s instead of 94 s).
        """
        if LOOPBACK in (key.name for key in keys):
            rest = [key for key in keys if key.name != LOOPBACK]
            dropped = dict(zip(rest, await self.drop(rest), strict=True)) if rest else {}
            unmarked = await self._rtnl.send([(RTM_NEWLINK, 0, named(LOOPBACK) + attr_u32(IFLA_GROUP, 0))])
            return [dropped[key] if key in dropped else unmarked[0] for key in keys]
        targets = [self._target(key) for key in keys]
        if len(keys) > 2:
            moved = await self._rtnl.send([(RTM_NEWLINK, 0, t + attr_u32(IFLA_GROUP, DOOMED_GROUP)) for t in targets])
            whole_group = IFINFO.pack(0, 0, 0, 0, 0) + attr_u32(IFLA_GROUP, DOOMED_GROUP)
            deleted = (await self._rtnl.send([(RTM_DELLINK, 0, whole_group)]))[0]
            answers = [answer or deleted for answer in moved]
        else:
            answers = list(await self._rtnl.send([(RTM_DELLINK, 0, target) for target in targets]))
        for key, answer in zip(keys, answers, strict=True):
            if answer is None or answer.code == errno.ENODEV:
                self._forget(key.name)
        return [None if answer and answer.code == errno.ENODEV else answer for answer in answers]

    def _target(self, key: LinkKey) -> bytes:
        index = self._indexes.get(key)
        return IFINFO.pack(0, 0, index, 0, 0) if index else named(key.name)


ENTRIES: Final = (Entry(LinkKind(), LinkDriver),)
