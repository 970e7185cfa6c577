"""What should exist and why: wants, and the fragments of desired state that yield them. Pure.

A fragment is the part of desired state that changes together: one interface with its addresses, table and rule, say.
When a fact changes, only the fragments that need it are compiled again. Fragments are plain values: the process that
reads the file hands them to the daemon.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from neod.model.facts import Followed, Forwarding, Host, Lease, Multipath, Nic
from neod.model.key import Key


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in the file that asked for something: ``macvlans.neo``, line 12."""

    path: str
    line: int  # from 1; 0 when no line says it (a default)

    def __str__(self) -> str:
        return f"line {self.line} [{self.path}]" if self.line else f"[{self.path}] (default)"


@dataclass(frozen=True, slots=True)
class FactKey:
    """The name of one input: ``lease`` of a link, ``followed`` of an uplink, ``host``."""

    kind: str
    name: str = ""


HOST: Final = FactKey("host")
"""The input that holds what is true of the host as a whole."""

FORWARDING: Final = FactKey("forwarding")
"""The input that says what packets can pass through."""

Fact = Lease | Followed | Forwarding | Host | Multipath | Nic
Facts = Mapping[FactKey, Fact]


@dataclass(frozen=True, slots=True)
class Want:
    """One resource that should exist, and why."""

    key: Key
    spec: object
    origin: Origin
    lease: str = ""  # what a lease contributed, in words; empty where none did


class Fragment:
    """A part of desired state. Equal fragments compile to equal wants. A frozen value, pure and picklable."""

    __slots__ = ()

    if TYPE_CHECKING:  # a field of some fragments; dataclasses would take a property of ours for its default

        @property
        def name(self) -> str:
            """A stable and unique name: ``macvlans.neo/neo3``."""
            ...

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """The facts it reads; it may be compiled while some are missing."""
        return ()

    def compile(self, facts: Facts) -> Iterable[Want]:
        """Return what should exist given *facts*; a missing fact yields fewer wants, never an error."""
        raise NotImplementedError

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return what is still missing, for people: ``a lease for neo3``."""
        return ()

    def remarks(self, facts: Facts) -> tuple[str, ...]:
        """Return what the file says and has no effect as things are, with the reason, for people."""
        return ()
