"""``[mptcp]``: who makes the subflows of MPTCP connections, and how many."""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from neod.features.intents import Intents
from neod.features.mptcp.compile import MOST_SUBFLOWS, EndpointsFragment, MptcpFragment, PathManagement, best_first
from neod.features.parts import Candidate, ExplicitSysctl
from neod.features.table import Table
from neod.features.validation import checks, patterns
from neod.features.validation.checks import InvalidValue
from neod.features.validation.context import Context
from neod.features.validation.fields import Idle, Section, Validator, integer, one_of, text, toml_key
from neod.features.validation.network import network
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.text import show
from neod.model.want import Origin
from neod.netlink.mptcp_pm import MOST_ENDPOINTS

SCHEDULER: Final = "(?=.*[A-Za-z0-9])[A-Za-z0-9_-]{1,15}"

MOST_ADDRESSES: Final = 250
"""Of one connection: address ids have 8 bits."""


def _limit(value: object) -> int:
    """Return a limit; -1 for ``auto``."""
    if value == "auto":
        return -1
    try:
        return checks.integer(0, MOST_SUBFLOWS)(value)
    except InvalidValue as invalid:
        raise InvalidValue(invalid.problem, f'write "auto" or a number from 0 to {MOST_SUBFLOWS}') from None


def _networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{show(value)} is not a list in brackets", 'write e.g. exclude = ["192.0.2.0/24"]')
    return checks.each(network, value)


def _scheduler(value: str) -> str:
    if not re.fullmatch(SCHEDULER, value):
        raise InvalidValue(f"{show(value)} is not the name of a scheduler", 'write e.g. "default"')
    return value


Limit: Final = Validator(
    _limit, {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 0, "maximum": MOST_SUBFLOWS}]}
)


def _kernel_manages(section: Any, intents: Intents) -> str:
    if section.path_manager == "kernel":
        return 'it counts only with path_manager = "neod"'
    return "" if intents.of(Candidate) else "there is no address to make subflows from: nothing in the file has mptcp"


def _neod_manages(limit: str) -> Idle:
    """Return the reason of a limit of the kernel's path manager; ``auto`` is always right."""

    def idle(section: Any, _: Intents) -> str:
        counts = section.path_manager == "kernel" or getattr(section, limit) < 0
        return "" if counts else 'it counts only with path_manager = "kernel"'

    return idle


class Mptcp(Section):
    """MPTCP on this host, in every namespace of the file."""

    path_manager: str = toml_key("kernel", one_of("kernel", "neod"), "kernel", "neod").says(
        "Who makes subflows. kernel: the kernel does, from at most 8 endpoints. neod: neod does, as many for each "
        "connection as there are addresses."
    )
    subflows: int = toml_key("auto", Limit, "auto", validate_default=True, idle=_neod_manages("subflows")).says(
        "How many subflows a connection may have beside its first, with the kernel's path manager. auto: as many as "
        "the kernel allows."
    )
    add_addr_accepted: int = toml_key(
        "auto", Limit, "auto", validate_default=True, idle=_neod_manages("add_addr_accepted")
    ).says(
        "How many addresses that a server announces are used, with the kernel's path manager. auto: as many as the "
        "kernel allows where there are subflow endpoints, else none."
    )
    scheduler: str = toml_key("", text(_scheduler, pattern=f"^{SCHEDULER}$"), "default").says(
        "The packet scheduler. Absent: the kernel's choice is left alone."
    )
    exclude: tuple[IPv4Network | IPv6Network, ...] = toml_key(
        (),
        Validator(_networks, list_of(text_like(patterns.NETWORK))),
        ["192.0.2.0/24", "2001:db8::/32"],
        idle=_kernel_manages,
    ).says("Peers whose connections neod leaves alone as the path manager.")
    max_subflows: int | None = toml_key(None, integer(1, MOST_ADDRESSES), 24, idle=_kernel_manages).says(
        "The most subflows of one connection, its first among them, with neod as the path manager. Absent: one for "
        "each address."
    )
    max_subflows_total: int | None = toml_key(None, integer(1, 1_000_000), 10000, idle=_kernel_manages).says(
        "The most subflows of all connections together that this host opens subflows for. The first of each counts, "
        "and stays. Absent: no limit."
    )


DEFAULT: Final = Mptcp()


def finalize(intents: Intents, context: Context) -> Iterator[object]:
    """Yield the fragments of each namespace that has addresses for MPTCP, and how neod manages its paths.

    A host without paths that writes the table means its own programs: limits and path manager are theirs.
    """
    section: Mptcp = context.sections.get("mptcp", DEFAULT)
    explicit: dict[str, set[str]] = {}
    for sysctl in intents.of(ExplicitSysctl):
        explicit.setdefault(sysctl.netns, set()).add(sysctl.path)
    by_netns: dict[str, list[Candidate]] = {name: [] for name in _serving(context)}
    for one in intents.of(Candidate):
        by_netns.setdefault(one.netns, []).append(one)
    for netns, found in sorted(by_netns.items()):
        candidates = best_first(found)
        yield EndpointsFragment(netns, candidates, section.path_manager == "neod")
        yield _settings(netns, candidates, section, frozenset(explicit.get(netns, ())), context)
        if section.path_manager == "neod":
            total = section.max_subflows_total or 0
            yield PathManagement(netns, section.exclude, section.max_subflows or 0, total)
        else:
            _warn(netns, candidates, context)


def _serving(context: Context) -> Sequence[str]:
    """Return the namespaces with MPTCP: programs there take subflows even where nothing is announced.

    neod's own is one where the file has the table: what was announced there before has to be taken back, too.
    """
    namespaces = context.sections.get("namespaces") or {}
    own = [""] if "mptcp" in context.sections else []
    return [*own, *(name for name, namespace in namespaces.items() if namespace.mptcp)]


def _settings(
    netns: str, candidates: Sequence[Candidate], section: Mptcp, leave: frozenset[str], context: Context
) -> MptcpFragment:
    subflows = MOST_SUBFLOWS if section.subflows < 0 else section.subflows
    connects = any("subflow" in one.flags for one in candidates)
    accepted = section.add_addr_accepted
    if accepted < 0:
        accepted = MOST_SUBFLOWS if connects else 0
    origin = context.origin("mptcp") if "mptcp" in context.sections else _origin(netns, candidates, context)
    return MptcpFragment(netns, section.path_manager, subflows, accepted, section.scheduler, origin, leave)


def _origin(netns: str, candidates: Sequence[Candidate], context: Context) -> Origin:
    return candidates[0].origin if candidates else context.origin("namespaces", netns)


def _warn(netns: str, candidates: Sequence[Candidate], context: Context) -> None:
    """Say at load time what the kernel would say with an errno, one endpoint too late."""
    if len(candidates) <= MOST_ENDPOINTS:
        return
    where = f" in {netns}" if netns else ""
    text = (
        f"{len(candidates)} addresses{where} ask for an MPTCP endpoint, and the kernel's path manager holds "
        f'{MOST_ENDPOINTS}: the others wait; [mptcp] path_manager = "neod" has room for all'
    )
    path = _place(netns, context.sections)
    context.warn(path, text)


def _place(netns: str, sections: Mapping[str, object]) -> tuple[str, ...]:
    if netns:
        return ("namespaces", netns)
    return ("macvlans",) if "macvlans" in sections else ("uplinks",)


TABLE: Final = Table(
    about="Multipath TCP: who makes the subflows of a connection, and how many there may be.",
    section=Mptcp,
    finalize=finalize,
)
