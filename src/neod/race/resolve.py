"""Names of upstreams: both families, resolved again when the TTL is over.

``/etc/hosts`` first, then DNS as ``/etc/resolv.conf`` says. ``getaddrinfo`` returns no TTL, so DNS is queried through
dnspython: complete (search lists, CNAME chains, truncation and TCP), pure Python, and imported only when a file has a
name in it. Other sources in ``nsswitch.conf`` are not used.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

from neod.race.loop import Loop

HOSTS: Final = Path("/etc/hosts")
HOSTS_TTL_S: Final = 10.0
SHORTEST_TTL_S: Final = 5.0
"""A TTL of 0 would mean a query a connection."""

LONGEST_TTL_S: Final = 86400.0
LIFETIME_S: Final = 5.0  # of one query, including retries
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """The addresses of a name, or why it cannot be resolved."""

    addresses: tuple[str, ...] = ()  # IPv6 and IPv4 in turn
    ttl_s: float = 0.0
    problem: str = ""


Lookup = Callable[[str], ResolvedName]


def lookup(name: str) -> ResolvedName:
    """Resolve both families; blocks up to twice ``LIFETIME_S``."""
    found = in_hosts(name, _hosts())
    return ResolvedName(interleaved(found), HOSTS_TTL_S) if found else _ask_dns(name)


def in_hosts(name: str, text: str) -> tuple[str, ...]:
    """Return the addresses of *name* in *text*, which is in the format of hosts(5)."""
    found = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name.lower().rstrip(".") in (n.lower() for n in names) and is_address(address):
            found.append(address)
    return tuple(found)


def interleaved(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return IPv6 and IPv4 in turn, IPv6 first (RFC 8305, 4)."""
    distinct = list(dict.fromkeys(addresses))
    six, four = [a for a in distinct if ":" in a], [a for a in distinct if ":" not in a]
    return tuple(a for a in chain.from_iterable(zip_longest(six, four)) if a is not None)


def _ask_dns(name: str) -> ResolvedName:
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver()
        answers = [
            resolver.resolve(name, kind, lifetime=LIFETIME_S, search=True, raise_on_no_answer=False)
            for kind in ("AAAA", "A")
        ]
    except dns.exception.DNSException as error:
        return ResolvedName(problem=str(error) or type(error).__name__)
    records = [str(record) for answer in answers for record in answer.rrset or ()]
    if not records:
        return ResolvedName(problem=f"{name} has no address")
    ttl_s = min(answer.chaining_result.minimum_ttl for answer in answers if answer.rrset)
    return ResolvedName(interleaved(records), min(max(ttl_s, SHORTEST_TTL_S), LONGEST_TTL_S))


def _hosts() -> str:
    try:
        return HOSTS.read_text(errors="replace")
    except OSError:
        return ""


def is_address(text: str) -> bool:
    """True if *text* is an address and not a name; a scope (``%eth0``) may follow."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class UpstreamName:
    """One name and its addresses; resolved again when the TTL is over, or soon after a failure.

    After a failure the last known addresses stay in use (serve-stale, RFC 8767).
    """

    def __init__(self, loop: Loop, name: str, changed: Callable[["UpstreamName"], None], ask: Lookup = lookup) -> None:
        self.name, self.answer = name, ResolvedName()
        self._loop, self._changed, self._ask = loop, changed, ask
        self._retry_s = FIRST_RETRY_S
        self._closed = False
        self._resolve()

    def close(self) -> None:
        self._closed = True

    def _resolve(self) -> None:
        if not self._closed:
            threading.Thread(target=self._run, name=f"resolve {self.name}", daemon=True).start()

    def _run(self) -> None:
        answer = self._ask(self.name)
        self._loop.call_soon_threadsafe(lambda: self._take(answer))

    def _take(self, answer: ResolvedName) -> None:
        if self._closed:
            return
        before = self.answer
        if answer.addresses:
            self._retry_s = FIRST_RETRY_S
            self._loop.call_later(answer.ttl_s, self._resolve)
        else:
            self._loop.call_later(self._retry_s, self._resolve)
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        self.answer = ResolvedName(answer.addresses or before.addresses, answer.ttl_s, answer.problem)
        if (set(self.answer.addresses), self.answer.problem) != (set(before.addresses), before.problem):
            self._changed(self)
