"""Many hints, one pass. A hint says "look again"; it carries a reason and no data.

The queue is made before anything that writes to it (netlink, DHCP, mounts, timers, the control socket) and before what
reads it, so that nobody needs to know anybody else. Facts that come from outside the kernel pass through it too.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from neod.model.change import Actor
from neod.model.key import Key, Place
from neod.model.ports import Clock
from neod.model.want import Fact, FactKey

SETTLE_S: Final = 0.001
"""How long a burst may settle: all events of `ip addr flush` of one link arrive within this."""


@dataclass(slots=True)
class Hints:
    """What to look at in the next pass, collected since the last."""

    keys: dict[Key, Actor | None] = field(default_factory=dict)
    deep: set[Key] = field(default_factory=set)  # with everything that depends on them
    gone: set[Key] = field(default_factory=set)  # the kernel said that it deleted them
    kinds: set[Place] = field(default_factory=set)  # all objects of a kind
    everything: bool = False
    read_facts: bool = False  # nothing of ours, but what facts are made of
    rerouted: bool = False  # somebody changed a rule or route that may take packets elsewhere
    rerouted_by: Actor | None = None
    facts: dict[FactKey, Fact | None] = field(default_factory=dict)  # new ones; None: no longer so
    causes: list[str] = field(default_factory=list)
    first_at: float | None = None  # CLOCK_BOOTTIME of the first
    waiters: list[asyncio.Future[None]] = field(default_factory=list)  # done when the pass is over

    def __bool__(self) -> bool:
        return bool(self.keys or self.deep or self.kinds or self.everything or self.read_facts or self.rerouted)

    def add_everything(self, cause: str) -> None:
        """Look at everything in this pass."""
        self.everything = True
        self.causes.append(cause)

    @property
    def cause(self) -> str:
        """Return why: the first cause, and how many others."""
        more = f" and {len(self.causes) - 1} more" if len(self.causes) > 1 else ""
        return f"{self.causes[0]}{more}" if self.causes else "asked"


class HintQueue:
    """Collects hints; whoever makes passes takes them all at once, and says when the pass is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hints = Hints()
        self._woken = asyncio.Event()
        self._taken_at: float | None = None
        self.overruns = 0  # how often events were lost
        self.expected = 0  # how many files are being read that will ask for a pass

    @property
    def pending(self) -> bool:
        """Whether something is to be looked at that no pass has taken up, or is about to be."""
        return bool(self._hints or self._hints.facts or self.expected)

    @property
    def in_progress(self) -> bool:
        """Whether hints were taken, and their pass is not over."""
        return self._taken_at is not None

    def stuck(self, limit_s: float) -> bool:
        """Whether one pass has been in progress for longer than *limit_s*."""
        return self._taken_at is not None and self._clock.boottime() - self._taken_at > limit_s

    def hint(self, key: Key, cause: str, actor: Actor | None = None, *, deep: bool = False, gone: bool = False) -> None:
        """Look at *key* again, with *deep* also at what depends on it; *gone*: a deletion was reported."""
        hints = self._hints
        if actor is not None or key not in hints.keys:
            hints.keys[key] = actor
        if deep:
            hints.deep.add(key)
        if gone:
            hints.gone.add(key)
        else:
            hints.gone.discard(key)
        self._wake(cause)

    def hint_dependents(self, key: Key, cause: str) -> None:
        """Look again at what depends on *key*."""
        self._hints.deep.add(key)
        self._wake(cause)

    def hint_kind(self, place: Place, cause: str) -> None:
        """Look at all objects of one kind again."""
        self._hints.kinds.add(place)
        self._wake(cause)

    def hint_keys(self, keys: Iterable[Key], cause: str) -> None:
        for key in keys:
            self._hints.keys.setdefault(key, None)
        self._wake(cause)

    def hint_facts(self, cause: str) -> None:
        """Read again what facts are made of."""
        self._hints.read_facts = True
        self._wake(cause)

    def hint_rerouted(self, cause: str, actor: Actor | None = None) -> None:
        """Ask again where the packets of paths go."""
        self._hints.rerouted, self._hints.rerouted_by = True, actor or self._hints.rerouted_by
        self._wake(cause)

    def put_fact(self, key: FactKey, fact: Fact | None, cause: str) -> None:
        """Work with another fact from the next pass on; None: it is no longer so."""
        self._hints.facts[key] = fact
        self._wake(cause)

    def hint_everything(self, cause: str) -> None:
        self._hints.everything = True
        self._wake(cause)

    def lost(self) -> None:
        """Look at everything again, because events were lost."""
        self.overruns += 1
        self.hint_everything("lost events")

    def full_pass(self, cause: str) -> asyncio.Future[None]:
        """Ask for a full pass; the future is done when one that began after now is over."""
        future = asyncio.get_running_loop().create_future()
        self._hints.waiters.append(future)
        self.hint_everything(cause)
        return future

    def _wake(self, cause: str) -> None:
        hints = self._hints
        if hints.first_at is None:
            hints.first_at = self._clock.boottime()
        if len(hints.causes) < 16 and cause not in hints.causes:
            hints.causes.append(cause)
        self._woken.set()

    async def take(self, timeout_s: float | None) -> Hints:
        """Return what was collected, once something is, or nothing after *timeout_s*. Call ``done`` after."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            pass
        else:
            await asyncio.sleep(SETTLE_S)
        hints, self._hints = self._hints, Hints()
        self._woken.clear()
        self._taken_at = self._clock.boottime()
        return hints

    def done(self, hints: Hints) -> None:
        """Note that the pass over *hints* is over; whoever waits for it goes on."""
        self._taken_at = None
        for waiter in hints.waiters:
            if not waiter.done():
                waiter.set_result(None)
