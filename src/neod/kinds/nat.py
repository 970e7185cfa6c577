"""The whole of neo's address translation in one namespace: one resource, replaced in one transaction.

Two backends can hold it, nftables and the legacy tables of iptables. Neither gives back what was written, so a digest
of what was asked is kept beside the rules, and everything is verified to be whole against that.
"""

import errno
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Protocol

from neod.kinds.nat_legacy import TABLES, VERSIONS, LegacyNat
from neod.kinds.nat_nft import NftNat
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed
from neod.model.kind import Entry, Kind, Poll, Source
from neod.model.names import IN_QUOTES
from neod.model.nat import Ruleset, interfaces_of
from neod.model.ports import Ports

NFTABLES: Final = "nftables"
IPTABLES: Final = "iptables"
AUTO: Final = ""


@dataclass(frozen=True, slots=True)
class NatKey(Hashed):
    """The translation of one namespace."""

    kind: ClassVar[str] = "nat"
    netns: str

    def __str__(self) -> str:
        return f"nat:{self.netns or 'main'}"


@dataclass(frozen=True, slots=True)
class NatSpec:
    """What is translated, and who keeps it."""

    ruleset: Ruleset
    backend: str = AUTO  # nftables | iptables; empty: whichever the host uses


class NatKind(Kind[NatKey, NatSpec]):
    """The ruleset of a namespace as one object: equal digests are in sync."""

    name: ClassVar[str] = "nat"
    source: ClassVar[Source | None] = Source.NFTABLES
    translates: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(0.2, cheap=True)  # the legacy tables tell nobody what happens to them

    def normalize(self, key: NatKey, spec: NatSpec) -> tuple[NatKey, NatSpec]:
        """Return the rules sorted, each once."""
        return key, replace(spec, ruleset=Ruleset.of(spec.ruleset.rules) if spec.ruleset.rules else spec.ruleset)

    def ruleset(self, spec: NatSpec) -> Ruleset:
        return spec.ruleset

    def matches(self, have: NatSpec, want: NatSpec) -> bool:
        """Whether the same was asked for, in the right place."""
        return have.ruleset.digest == want.ruleset.digest and want.backend in (AUTO, have.backend)


class Backend(Protocol):
    async def read(self) -> str | None: ...
    async def replace(self, ruleset: Ruleset) -> None: ...
    async def remove(self) -> None: ...
    async def obstacles(self) -> tuple[str, ...]: ...


def _check_names(ruleset: Ruleset) -> None:
    """Refuse what ``nft`` or ``iptables`` would take for more than the name of one interface, whoever let it in."""
    for name in {name for rule in ruleset.rules for name in interfaces_of(rule)}:
        if not IN_QUOTES.fullmatch(name):
            raise KernelError("nat", errno.EINVAL, f"'{name.encode('unicode_escape').decode()}' names no interface")


class NatDriver:
    """The translation of one namespace, on whichever backend."""

    def __init__(self, ports: Ports) -> None:
        self._key = NatKey(ports.netns)
        self._port = ports.netfilter
        self._backends: Mapping[str, Backend] = {
            NFTABLES: NftNat(ports.netfilter),
            IPTABLES: LegacyNat(ports.netfilter),
        }
        self.notes: tuple[str, ...] = ()
        """For people: the backend and why, and what stands in the way of forwarded packets."""

    async def observe(self, keys: Collection[NatKey]) -> Mapping[NatKey, Seen[NatSpec]]:
        """Read both backends; what is in both, or not whole, has no digest and fits nothing."""
        found = {name: digest for name, b in self._backends.items() if (digest := await b.read()) is not None}
        if not found:
            self.notes = ()
            return {}
        backend, digest = next(iter(found.items()))
        if backend == IPTABLES:
            await self._port.legacy_preload()
        await self._tell(backend)
        ruleset = Ruleset((), digest if len(found) == 1 else "")
        return {self._key: Seen(NatSpec(ruleset, backend), True)}

    def fingerprint(self) -> object:
        """Return the legacy tables, the very same objects while nothing changed; of nftables, events tell."""
        return tuple(self._port.legacy_read(version, table) for version in VERSIONS for table in TABLES)

    async def observe_all(self, wanted: Collection[NatKey]) -> Mapping[NatKey, Seen[NatSpec]]:
        """Read both backends."""
        return await self.observe(wanted)

    async def put(self, items: Sequence[tuple[NatKey, NatSpec, NatSpec | None]]) -> Sequence[KernelError | None]:
        """Replace the rules; on a move, the new backend has them before the old one loses them."""
        return [await self._put(spec, have) for _, spec, have in items]

    async def _put(self, spec: NatSpec, have: NatSpec | None) -> KernelError | None:
        try:
            _check_names(spec.ruleset)
            name = spec.backend if spec.backend != AUTO else have.backend if have else self._preferred()[0]
            await self._backends[name].replace(spec.ruleset)
            for other, backend in self._backends.items():
                if other != name:
                    await backend.remove()
            await self._tell(name)
        except KernelError as error:
            return error
        return None

    async def drop(self, keys: Sequence[NatKey]) -> Sequence[KernelError | None]:
        """Remove all of ours from both backends."""
        answers: list[KernelError | None] = []
        for _ in keys:
            try:
                for backend in self._backends.values():
                    await backend.remove()
                answers.append(None)
            except KernelError as error:
                answers.append(error)
        self.notes = ()
        return answers

    def _preferred(self) -> tuple[str, str]:
        """Return the backend that the host uses, and how it shows."""
        if tables := self._port.nft_tables():
            return NFTABLES, f"the host has nftables rules in {tables[0]}"
        legacy = sorted({*self._port.legacy_names(4), *self._port.legacy_names(6)})
        if not legacy:
            return NFTABLES, "the host has no legacy tables"
        return IPTABLES, f"the host has legacy tables ({', '.join(legacy)}) and no nftables rules"

    async def _tell(self, backend: str) -> None:
        self.notes = (f"nat{f' in {self._key.netns}' if self._key.netns else ''}: {backend}",)
        preferred, why = self._preferred()
        if preferred == backend:
            self.notes = (f"{self.notes[0]} ({why})",)
        self.notes += await self._backends[backend].obstacles()


ENTRIES: Final = (Entry(NatKind(), NatDriver),)
