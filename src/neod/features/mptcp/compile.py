"""``[mptcp]``: endpoints for the addresses of the file, limits, and the sysctls that both need. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from neod.features.parts import Candidate
from neod.features.path import followed
from neod.kinds.mptcp import EndpointKey, EndpointSpec, LimitsKey, LimitsSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Followed, Host, Lease, Multipath
from neod.model.marks import ENDPOINT_IDS
from neod.model.want import HOST, Fact, FactKey, Facts, Fragment, Origin, Want
from neod.netlink.attributes import Ip
from neod.netlink.mptcp_pm import MOST_ENDPOINTS

MOST_SUBFLOWS: Final = 8
"""What the limits can be. Source: net/mptcp/pm_kernel.c, parse_limit."""

STALE, STALE_AFTER = "stale_loss_cnt", "1"
"""Time-outs of the connection in a row, without a packet from a subflow, after which its data is sent over the others.
The kernel waits for four: where a path that dies has held up a connection for 2.2 s, with one it is 0.6 s. What was
wrong about it is small: the subflow is used again with the first packet that comes.

Source: net/mptcp/pm.c, mptcp_pm_subflow_chk_stale.
"""

MANAGERS: Final = {"kernel": "0", "neod": "1"}
"""Values of ``pm_type``, which became ``path_manager`` with names in Linux 6.16."""


@dataclass(frozen=True, slots=True)
class PathManagement:
    """What ``[mptcp]`` says of one namespace, for neod as the path manager there."""

    netns: str
    exclude: tuple[IPv4Network | IPv6Network, ...] = ()  # peers that are left alone
    max_subflows: int = 0  # of one connection, the first among them; 0: as many as there are addresses
    max_total: int = 0  # of all connections; 0: no limit


def fact_of(candidate: Candidate) -> FactKey | None:
    """Return the fact that holds the address; None if the file says it."""
    return FactKey(candidate.fact, candidate.link) if candidate.fact else None


def address_of(candidate: Candidate, facts: Facts) -> tuple[Ip, str] | None:
    """Return the address and the lease it came from, for people; None while there is none."""
    if candidate.ip is not None:
        return candidate.ip, ""
    fact: Fact | None = facts.get(FactKey(candidate.fact, candidate.link))
    if isinstance(fact, Lease):
        return fact.ip, f"lease from {fact.server}"
    if isinstance(fact, Followed) and fact.addresses:
        return followed(fact)[0].ip, ""
    return None


def best_first(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return *candidates* as slots are given away: uplinks first, then by number."""
    return tuple(sorted(candidates, key=lambda one: (one.rank, one.name, str(one.ip))))


@dataclass(frozen=True, slots=True)
class EndpointsFragment(Fragment):
    """The endpoints of one namespace: as many as the kernel has slots for, the best first."""

    netns: str
    candidates: tuple[Candidate, ...]  # best first
    neod: bool  # neod is the path manager: no endpoints, unless it cannot be

    @property
    def name(self) -> str:
        """Return ``mptcp`` or ``mptcp/proxy``."""
        return f"mptcp/{self.netns}" if self.netns else "mptcp"

    @property
    def origin(self) -> Origin | None:
        """Return what asks for the best of them."""
        return self.candidates[0].origin if self.candidates else None

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the facts that hold the addresses, and what is known of the kernel's path manager."""
        addresses = (need for one in self.candidates if (need := fact_of(one)))
        return (FactKey("mptcp", self.netns), *addresses)

    def compile(self, facts: Facts) -> Iterator[Want]:
        known = self._known(facts)
        if self.neod and not known.unmanageable:
            return
        room, used, taken = MOST_ENDPOINTS - len(known.foreign), set[int](), set[Ip]()
        for position, one in enumerate(self.candidates):
            ip, lease = address_of(one, facts) or (None, "")
            if ip is None or ip in taken:
                continue
            if ip not in known.foreign:
                if room <= 0:
                    continue
                room -= 1
            spec = EndpointSpec(free_id(position, used), one.flags, one.link, one.table)
            used.add(spec.id)
            taken.add(ip)
            yield Want(EndpointKey(self.netns, ip), spec, one.origin, lease)

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return whose endpoints leave no room for ours, where they do."""
        known = self._known(facts)
        if not known.foreign or (self.neod and not known.unmanageable):
            return ()
        addresses = {found[0] for one in self.candidates if (found := address_of(one, facts))}
        without = min(len(addresses), MOST_ENDPOINTS) - sum(1 for _ in self.compile(facts))
        if without <= 0:
            return ()
        what = f"{without} more MPTCP endpoint{'s' * (without > 1)}" + (f" in {self.netns}" if self.netns else "")
        others = ", ".join(map(str, known.foreign[:3])) + (", …" if len(known.foreign) > 3 else "")
        return (
            f"room for {what}: other programs have {len(known.foreign)} of the kernel's {MOST_ENDPOINTS} ({others}); "
            "`ip mptcp endpoint delete id N` makes room",
        )

    def _known(self, facts: Facts) -> Multipath:
        known = facts.get(FactKey("mptcp", self.netns))
        return known if isinstance(known, Multipath) else Multipath(self.netns)


def free_id(position: int, used: set[int]) -> int:
    """Return the id for the candidate at *position*: its own, where no better one has it."""
    size = len(ENDPOINT_IDS)
    return next(i for n in range(size) if (i := ENDPOINT_IDS[(position + n) % size]) not in used)


@dataclass(frozen=True, slots=True)
class MptcpFragment(Fragment):
    """What MPTCP needs in one namespace beside endpoints: limits and sysctls."""

    netns: str
    manager: str  # kernel | neod
    subflows: int
    add_addr_accepted: int
    scheduler: str  # empty leaves the kernel's
    origin: Origin
    leave: frozenset[str] = frozenset()  # sysctl paths that the file sets itself

    @property
    def name(self) -> str:
        """Return ``mptcp/limits`` or ``mptcp/limits/proxy``."""
        return f"mptcp/limits/{self.netns}" if self.netns else "mptcp/limits"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        return (HOST, FactKey("mptcp", self.netns))

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield limits and sysctls; nothing on a kernel without MPTCP, where the endpoints say what is missing."""
        host, known = facts.get(HOST), facts.get(FactKey("mptcp", self.netns))
        if not isinstance(host, Host) or not host.mptcp:
            return
        yield Want(LimitsKey(self.netns), LimitsSpec(self.subflows, self.add_addr_accepted), self.origin)
        possible = not (isinstance(known, Multipath) and known.unmanageable)
        values = {"enabled": "1", **manager_sysctl(self.manager if possible else "kernel", host.mptcp)}
        if STALE in host.mptcp:
            values[STALE] = STALE_AFTER
        if self.scheduler:
            values["scheduler"] = self.scheduler
        for name, value in values.items():
            if f"net/mptcp/{name}" not in self.leave:
                yield Want(SysctlKey(self.netns, f"net/mptcp/{name}"), SysctlSpec(value), self.origin)


def manager_sysctl(manager: str, existing: tuple[str, ...]) -> dict[str, str]:
    """Return the sysctl that chooses the path manager, by the name that this kernel gives it.

    Where both exist they are one: writing either changes both.

    Source: net/mptcp/ctrl.c, proc_pm_type.
    """
    if "path_manager" in existing:
        return {"path_manager": "userspace" if manager == "neod" else "kernel"}
    return {"pm_type": MANAGERS[manager]} if "pm_type" in existing else {}
