"""Endpoints and limits of the kernel's MPTCP path manager.

The kernel tells nobody when either changes, so they are polled; it keeps an
endpoint whose address or device is gone, so these stale ones are deleted here.
"""

import errno
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, LinkKey, LocalKey, SourceKey, TableKey, within
from neod.model.kind import Entry, Kind, Poll, Source
from neod.model.marks import ENDPOINT_IDS
from neod.model.ports import Ports
from neod.model.shown import IF_UNUSUAL
from neod.netlink import mptcp_pm as pm
from neod.netlink.attributes import Ip, attr, attrs, family_of
from neod.netlink.rtnetlink import IFADDR, RTM_GETADDR, RTM_GETROUTE, RTMSG

RTA_DST: Final = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTN_LOCAL: Final = 2
KERNEL_LIMITS: Final = (2, 0)
"""What a new namespace has: subflows, addresses accepted. Source: net/mptcp/pm_kernel.c, pm_nl_init_net."""

REST_S: Final = 30.0

ORIGINAL: Final = "mptcp/limits"
"""Under this name the limits found before our first write stand beside those of the sysctls."""

NOTED: Final = re.compile(r"([0-9]{1,9}) ([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class EndpointKey(Hashed):
    """An endpoint by its address: the kernel has one for each. A *stale* one is left when the address is gone."""

    kind: ClassVar[str] = "endpoint"
    netns: str
    ip: Ip
    stale_id: int = 0  # the id of a stale one, which tells it from the one that is desired; 0: it is not stale

    def __str__(self) -> str:
        return f"endpoint:{within(self.netns)}{self.ip}{f' (stale {self.stale_id})' if self.stale_id else ''}"


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What an endpoint should be; that its id is one of ours is the mark."""

    id: int  # the one it gets unless that is taken, or was until a moment ago
    flags: tuple[str, ...]  # subflow, signal, backup, fullmesh, laminar
    link: str = ""  # subflows from it are bound to the device; empty: wherever routing sends them
    # The table of its own that has to be there first, with its rule: the kernel connects once; 0: none.
    table: int = field(default=0, metadata=IF_UNUSUAL)


class EndpointKind(Kind[EndpointKey, EndpointSpec]):
    """Endpoints by address, under whatever id: the kernel notifies of none, so that they are polled."""

    name: ClassVar[str] = "endpoint"
    source: ClassVar[Source | None] = None
    delete_before_create: ClassVar[bool] = True  # ids, and the eight slots
    few_for_all: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(1.0, cheap=True)

    def normalize(self, key: EndpointKey, spec: EndpointSpec) -> tuple[EndpointKey, EndpointSpec]:
        """Return the pair with the flags in the kernel's order."""
        return key, EndpointSpec(spec.id, pm.flag_names(pm.flag_bits(spec.flags)), spec.link, spec.table)

    def matches(self, have: EndpointSpec, want: EndpointSpec) -> bool:
        """Whether it serves the purpose, under whatever id: a foreign one does, too."""
        return have.flags == want.flags and (not want.link or have.link == want.link)

    def in_place(self, have: EndpointSpec, want: EndpointSpec) -> bool:
        """Backup and fullmesh can be changed on a live endpoint; for one under an id of others ``put`` makes room."""
        if have.id not in ENDPOINT_IDS:
            return True
        fixed = ~pm.IN_PLACE
        bits = pm.flag_bits(have.flags) & fixed == pm.flag_bits(want.flags) & fixed
        return bits and (not want.link or have.link == want.link)

    def conflict(self, have: EndpointSpec) -> str:
        """Return the other program's endpoint."""
        flags = ",".join(have.flags)
        return f"another program's endpoint has this address (id {have.id}, {flags}); neod leaves it alone"

    def requires(self, key: EndpointKey, spec: EndpointSpec) -> Iterable[Key]:
        """An endpoint needs its address, the device it names, and the way for what comes from it.

        The kernel opens subflows when it gets an endpoint, and does not try again when they cannot leave.
        """
        yield LocalKey(key.netns, key.ip)
        if spec.link:
            yield LinkKey(key.netns, spec.link)
        if spec.table:
            yield SourceKey(key.netns, key.ip)
            yield TableKey(key.netns, spec.table, key.ip.version)

    def path(self, key: EndpointKey, spec: EndpointSpec | None, tables: Mapping[int, str]) -> str:
        """An endpoint belongs to the path of its link; one that is stale to none."""
        return spec.link if spec is not None and not key.stale_id else ""

    def names(self, key: EndpointKey, spec: EndpointSpec | None) -> Iterable[str]:
        """The address; the id, alone and as ``status`` shows it."""
        number = spec.id if spec else 0
        return (str(key.ip), str(number), f"id {number}", f"{','.join(spec.flags) if spec else ''} {number}")

    def columns(self, key: EndpointKey, seen: Seen[EndpointSpec] | None) -> Mapping[str, object]:
        """The id of an endpoint that is there."""
        return {"mptcp_id": seen.spec.id if seen else None}


def refusal(spec: EndpointSpec, release: tuple[int, int]) -> KernelError | None:
    """Return why a kernel of that release does not do what the flags say; older ones take any bit and say nothing."""
    if "laminar" in spec.flags and release < pm.LAMINAR_SINCE:
        return KernelError("mptcp endpoint add", errno.EOPNOTSUPP, "the flag laminar needs Linux 6.18")
    return None


def free_id(wanted: int, used: Collection[int], resting: Mapping[int, float], now: float) -> int:
    """Return *wanted* or the next of our ids that is not in use and has rested; *wanted* if none has."""
    size, first = len(ENDPOINT_IDS), ENDPOINT_IDS[0]
    order = (ENDPOINT_IDS[(wanted - first + n) % size] for n in (0, *range(8, size), *range(1, 8)))
    return next((i for i in order if i not in used and resting.get(i, 0.0) <= now), wanted)


def _way_to(ip: Ip) -> tuple[int, bytes]:
    head = RTMSG.pack(family_of(ip.version), ip.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return RTM_GETROUTE, head + attr(RTA_DST, ip.packed)


class EndpointDriver:
    """Endpoints of one namespace; there are never more than eight, so that all are read at once.

    The id of a deleted endpoint rests for a while: the peer is told to forget it, and on a slow path that arrives after
    the first packet of its successor, which would be closed as well.
    """

    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl, self._mptcp, self._clock = ports.netns, ports.rtnl, ports.mptcp, ports.clock
        self._resting: dict[int, float] = {}  # id -> until, CLOCK_BOOTTIME

    async def observe(self, keys: Collection[EndpointKey]) -> Mapping[EndpointKey, Seen[EndpointSpec]]:
        """Read all endpoints, foreign ones as well; of ours, those without an address or device are stale."""
        try:
            dumped = await self._mptcp.dump(pm.CMD_GET_ADDR)
        except KernelError as error:
            if error.code == errno.EOPNOTSUPP:
                return {}
            raise
        there = [endpoint for payload in dumped if (endpoint := pm.endpoint_of(payload))]
        ours = [endpoint for endpoint in there if endpoint.id in ENDPOINT_IDS]
        alive = await self._alive(ours)
        found: dict[EndpointKey, Seen[EndpointSpec]] = {}
        for one in there:
            if one.flags & pm.IMPLICIT:
                continue
            stale_id = one.id if one.id in ENDPOINT_IDS and one not in alive else 0
            link = (self._rtnl.name_of(one.index) or f"if{one.index}") if one.index else ""
            spec = EndpointSpec(one.id, pm.flag_names(one.flags), link)
            found[EndpointKey(self._netns, one.ip, stale_id)] = Seen(spec, one.id in ENDPOINT_IDS)
        return found

    async def observe_all(self, wanted: Collection[EndpointKey]) -> Mapping[EndpointKey, Seen[EndpointSpec]]:
        return await self.observe(wanted)

    async def _alive(self, endpoints: Sequence[pm.Endpoint]) -> set[pm.Endpoint]:
        """Return those whose address and device exist.

        The kernel is asked for the way to each address. A link that is down has no way to its own, so that the
        addresses are read before an endpoint counts as dead.
        """
        named = [e for e in endpoints if not e.index or self._rtnl.name_of(e.index) is not None]
        answers = await self._rtnl.get([_way_to(e.ip) for e in named]) if named else ()
        local = {
            endpoint
            for endpoint, answer in zip(named, answers, strict=True)
            if not isinstance(answer, KernelError) and RTMSG.unpack_from(answer[1])[7] == RTN_LOCAL
        }
        for version in {e.ip.version for e in named if e not in local}:
            dumped = await self._rtnl.dump(RTM_GETADDR, IFADDR.pack(family_of(version), 0, 0, 0, 0))
            held = {
                bytes(found[IFA_LOCAL if version == 4 else IFA_ADDRESS])
                for _, payload in dumped
                if (found := attrs(payload, IFADDR.size)) and (IFA_LOCAL if version == 4 else IFA_ADDRESS) in found
            }
            local |= {e for e in named if e.ip.packed in held}
        return local

    async def put(
        self, items: Sequence[tuple[EndpointKey, EndpointSpec, EndpointSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Add every endpoint, or change its flags."""
        answers: list[KernelError | None] = [refusal(spec, self._mptcp.release) for _, spec, _ in items]
        doable = [i for i, answer in enumerate(answers) if answer is None]
        await self._make_room([(key, have) for key, _, have in items if have and have.id not in ENDPOINT_IDS])
        try:
            used = {seen.spec.id for seen in (await self.observe(())).values()}
        except KernelError as error:
            return [error] * len(items)
        requests = [self._request(*items[i], used) for i in doable]
        for i, answer in zip(doable, await self._mptcp.send(requests), strict=True):
            answers[i] = answer
        return answers

    async def _make_room(self, foreign: Sequence[tuple[EndpointKey, EndpointSpec]]) -> None:
        """Delete what somebody put in the place of ours under an id of theirs: an address has one endpoint."""
        targets = [pm.Endpoint(key.ip, have.id) for key, have in foreign]
        await self._mptcp.send([(pm.CMD_DEL_ADDR, pm.address(pm.ATTR_ADDR, one, full=True)) for one in targets])

    def _request(
        self, key: EndpointKey, spec: EndpointSpec, have: EndpointSpec | None, used: set[int]
    ) -> tuple[int, bytes]:
        have = have if have and have.id in ENDPOINT_IDS else None
        number = have.id if have else free_id(spec.id, used, self._resting, self._clock.boottime())
        used.add(number)
        index = (self._rtnl.index_of(spec.link) or 0) if spec.link else 0
        said = pm.Endpoint(key.ip, number, pm.flag_bits(spec.flags), index)
        return pm.CMD_ADD_ADDR if have is None else pm.CMD_SET_FLAGS, pm.address(pm.ATTR_ADDR, said, full=True)

    async def drop(self, keys: Sequence[EndpointKey]) -> Sequence[KernelError | None]:
        """Delete every endpoint that has our mark; already gone counts as done."""
        seen = await self.observe(keys)
        targets = {key: pm.Endpoint(key.ip, one.spec.id) for key, one in seen.items() if one.owned}
        doable = [key for key in keys if key in targets]
        sent = await self._mptcp.send(
            [(pm.CMD_DEL_ADDR, pm.address(pm.ATTR_ADDR, targets[k], full=True)) for k in doable]
        )
        answers = dict(zip(doable, sent, strict=True))
        until = self._clock.boottime() + REST_S
        self._resting |= {targets[key].id: until for key in doable}
        gone = (errno.EINVAL, errno.ENOENT)  # "address not found"
        return [None if (e := answers.get(key)) is None or e.code in gone else e for key in keys]


@dataclass(frozen=True, slots=True)
class LimitsKey(Hashed):
    kind: ClassVar[str] = "limits"
    netns: str

    def __str__(self) -> str:
        return f"limits:{self.netns or 'mptcp'}"


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """How far a connection may grow in the kernel's path manager."""

    subflows: int  # beside the first
    add_addr_accepted: int  # of the addresses that a peer announces


class LimitsKind(Kind[LimitsKey, LimitsSpec]):
    """The limits of the kernel's path manager in a namespace: they always exist."""

    name: ClassVar[str] = "limits"
    source: ClassVar[Source | None] = None
    takes_over_foreign: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(1.0, cheap=True)


class LimitsDriver:
    """The limits of one namespace. Like sysctls they exist anyway: what we changed has a value to restore."""

    def __init__(self, ports: Ports) -> None:
        self._netns, self._sysctls, self._mptcp = ports.netns, ports.sysctls, ports.mptcp

    async def observe(self, keys: Collection[LimitsKey]) -> Mapping[LimitsKey, Seen[LimitsSpec]]:
        """Read the limits, where somebody wants them or has changed them."""
        owned = ORIGINAL in self._sysctls.originals()
        if not keys and not owned:
            return {}
        try:
            subflows, accepted = pm.limits_of(await self._mptcp.get(pm.CMD_GET_LIMITS))
        except KernelError as error:
            if error.code == errno.EOPNOTSUPP:
                return {}
            raise
        return {LimitsKey(self._netns): Seen(LimitsSpec(subflows, accepted), owned)}

    async def observe_all(self, wanted: Collection[LimitsKey]) -> Mapping[LimitsKey, Seen[LimitsSpec]]:
        return await self.observe(wanted)

    async def put(
        self, items: Sequence[tuple[LimitsKey, LimitsSpec, LimitsSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Set them, once the original is safe on disk."""
        try:
            if ORIGINAL not in self._sysctls.originals():
                subflows, accepted = pm.limits_of(await self._mptcp.get(pm.CMD_GET_LIMITS))
                self._sysctls.remember({ORIGINAL: f"{subflows} {accepted}"})
        except KernelError as error:
            return [error] * len(items)
        requests = [(pm.CMD_SET_LIMITS, pm.limits(spec.subflows, spec.add_addr_accepted)) for _, spec, _ in items]
        return await self._mptcp.send(requests)

    async def drop(self, keys: Sequence[LimitsKey]) -> Sequence[KernelError | None]:
        """Put back what was found before our first write."""
        original = self._sysctls.originals().get(ORIGINAL)
        if original is None or not keys:
            return [None] * len(keys)
        before = (int(found[1]), int(found[2])) if (found := NOTED.fullmatch(original)) else KERNEL_LIMITS
        (answer,) = await self._mptcp.send([(pm.CMD_SET_LIMITS, pm.limits(*before))])
        if answer is None or answer.code == errno.EOPNOTSUPP:
            try:
                self._sysctls.remember({ORIGINAL: None})
            except KernelError as error:
                return [error] * len(keys)
            return [None] * len(keys)
        return [answer] * len(keys)


ENTRIES: Final = (Entry(EndpointKind(), EndpointDriver), Entry(LimitsKind(), LimitsDriver))
