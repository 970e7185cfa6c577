"""Sentences that several layers say, and so say with the same words. Pure."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

A_LEASE: Final = "a lease"
LEASE_FOR: Final = f"{A_LEASE} for "
WAITS_FOR: Final = "waits for "
WENT_WITH: Final = "went with "
ANOTHER: Final = "another program"
"""Who it was, where the kernel does not tell. It names the sender of a change of addresses, routes, rules and nftables,
where that used the first socket of its process; of no link, sysctl, endpoint, namespace or legacy table."""

NUMBERED: Final = re.compile(r"(.*?)(0|(?<!0)[1-9]\d*)$", re.DOTALL)
RUN: Final = 3
"""So many names with numbers in a row are told by the first and the last."""


def lease_for(link: str) -> str:
    """Return what a leased address waits for."""
    return f"{LEASE_FOR}{link}"


def waits_for(needs: Iterable[object]) -> str:
    """Return ``waits for link:neo1, a lease for neo3``."""
    return WAITS_FOR + ", ".join(map(str, needs))


def waited_for(reason: str) -> tuple[str, str]:
    """Return what is waited for and why it does not come: a lease, but where the *reason* itself says what."""
    return (reason.removeprefix(WAITS_FOR), "") if reason.startswith(WAITS_FOR) else (A_LEASE, reason)


def wait_for(links: Sequence[str], what: str, reason: str = "") -> str:
    """Return ``neo1 … neo9 wait for a lease: no answer to DISCOVER``; without links, what is waited for."""
    waits = f"{folded(links)} {'waits' if len(links) == 1 else 'wait'} for {what}" if links else what
    return f"{waits}: {reason}" if reason else waits


def folded(names: Iterable[str]) -> str:
    """Return *names* in their natural order, those with numbers in a row by the first and the last of them."""
    split = sorted((one[1], int(one[2])) if (one := NUMBERED.match(name)) else (name, -1) for name in set(names))
    found: list[str] = []
    for _, group in groupby(enumerate(split), key=lambda one: (one[1][0], one[1][1] < 0, one[1][1] - one[0])):
        run = [f"{stem}{number}" if number >= 0 else stem for _, (stem, number) in group]
        found += [f"{run[0]} … {run[-1]}"] if len(run) >= RUN else run
    return ", ".join(found)


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names of ``(reason, name)`` pairs by reason, which is told once."""
    found: dict[str, list[str]] = {}
    for reason, name in pairs:
        found.setdefault(reason, []).append(name)
    return found


def count(number: int, noun: str) -> str:
    """Return ``1 path``, ``8 paths``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def maker(drift: str, by: str, detail: str) -> str:
    """Return who made a drift, in words; empty where nobody did: what is left over, what went with something else."""
    if by or drift not in ("missing", "modified") or detail.startswith(WENT_WITH):
        return by
    return ANOTHER
