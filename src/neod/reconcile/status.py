"""The memory between passes: what is in trouble, what was refused, who fights over what. No I/O.

It decides when a change is due, never what is true.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from neod.model.change import Actor, Change, Op, Outcome
from neod.model.errors import KernelError
from neod.model.key import Key
from neod.model.status import DriftKind, Phase, Trouble
from neod.reconcile.backoff import backoff
from neod.reconcile.contention import Churn

LOOK_AGAIN = frozenset({errno.EEXIST, errno.ENODEV, errno.ENOENT, errno.ESRCH})
"""Refusals that say our picture of the kernel was old: worth another look, soon."""

SLOW_RETRY_S = 60.0
"""How often a refusal for good is tried again: modules get loaded, limits get raised."""


class Ledger:
    """Troubles, attempts and repairs, by key."""

    def __init__(self) -> None:
        self.troubles: dict[Key, Trouble] = {}
        self._settled: set[Key] = set()  # was in-sync with what is desired now
        self._retired: set[Key] = set()  # no longer desired, by the file or a fact
        self._churns: dict[Key, Churn] = {}
        self._suspects: dict[Key, Actor] = {}  # who undid a repair last

    def asked(self, key: Key, wanted: bool) -> None:
        """Note that the desired state of *key* changed: what comes next is no drift."""
        self._settled.discard(key)
        self.troubles.pop(key, None)
        if wanted:
            self._retired.discard(key)
        else:
            self._retired.add(key)

    def retire_everything(self, keys: Iterable[Key]) -> None:
        """Note that nothing is desired any more."""
        for key in keys:
            self.asked(key, False)

    def drift_of(self, change: Change) -> DriftKind | None:
        """Return what kind of drift a change repairs; None when the file or a fact asked for it."""
        if change.op is Op.DELETE:
            return None if change.key in self._retired else DriftKind.ORPHAN
        if change.key not in self._settled:
            return None
        return DriftKind.MISSING if change.op is Op.CREATE else DriftKind.MODIFIED

    def maybe_foreign(self, key: Key) -> bool:
        """Whether a foreign object holds *key*, or seemed to when it was to be made."""
        trouble = self.troubles.get(key)
        exists = trouble is not None and trouble.error is not None and trouble.error.code == errno.EEXIST
        return exists or (trouble is not None and trouble.phase is Phase.CONFLICT)

    def due(self, change: Change, now: float, *, insist: bool) -> bool:
        """Whether *change* may be tried now; if not, the trouble says when. *insist* forgets refusals."""
        trouble = self.troubles.get(change.key)
        refused = trouble is not None and trouble.error is not None and trouble.next_at is not None
        if refused and trouble and trouble.next_at and trouble.next_at > now and not insist:
            return False
        churn = self._churns.get(change.key)
        if churn is None or self.drift_of(change) is None or (hold := churn.hold_until(now)) <= now:
            return True
        actor, repairs = self._suspects.get(change.key), len(churn.repairs)
        drift = self.drift_of(change)
        self.troubles[change.key] = Trouble(Phase.CONTESTED, change, drift, next_at=hold, attempts=repairs, actor=actor)
        return False

    def suspect(self, actors: Mapping[Key, Actor | None]) -> None:
        """Note who touched what, for the case that it becomes a fight."""
        self._suspects.update({key: actor for key, actor in actors.items() if actor is not None})

    def in_sync(self, key: Key, now: float) -> None:
        """Note that *key* is as desired. A fight stays visible until it has been quiet for a while."""
        self._settled.add(key)
        churn = self._churns.get(key)
        if churn is None or not churn.contested(now):
            self.troubles.pop(key, None)
        elif key in self.troubles:
            self.troubles[key] = replace(self.troubles[key], next_at=None)

    def gone(self, key: Key) -> None:
        """Note that *key* is neither desired nor there."""
        self._retired.discard(key)
        self.troubles.pop(key, None)

    def blocked(self, change: Change, waits_for: tuple[Key, ...]) -> None:
        """Note that *change* waits for others."""
        self.troubles[change.key] = Trouble(Phase.BLOCKED, change, self.drift_of(change), waits_for=waits_for)

    def conflict(self, change: Change) -> None:
        """Note that a foreign object holds the key."""
        self.troubles[change.key] = Trouble(Phase.CONFLICT, change)

    def waiting(self, change: Change, actor: Actor | None) -> None:
        """Note a change that is not made because neod is paused."""
        self.troubles[change.key] = Trouble(Phase.CHANGING, change, self.drift_of(change), actor=actor)

    def settle(self, outcome: Outcome, now: float, actor: Actor | None) -> None:
        """Note what came of a change."""
        change = outcome.change
        if outcome.error is not None:
            self._refused(change, outcome.error, now)
        elif outcome.skipped:
            self.blocked(change, outcome.skipped)
        else:
            self._done(change, now, actor)

    def _refused(self, change: Change, error: KernelError, now: float) -> None:
        before = self.troubles.get(change.key)
        attempts = (before.attempts if before and before.error else 0) + 1
        if error.transient or error.code in LOOK_AGAIN:
            phase, wait_s = Phase.RETRYING, 0.0 if _is_stale(error, attempts) else backoff(attempts)
        else:
            phase, wait_s = Phase.FAILED, SLOW_RETRY_S
        drift = self.drift_of(change)
        self.troubles[change.key] = Trouble(phase, change, drift, error, next_at=now + wait_s, attempts=attempts)

    def refused_keys(self) -> set[Key]:
        """Return what the kernel refused and is to be tried again some time."""
        return {key for key, trouble in self.troubles.items() if trouble.error is not None}

    def encourage(self, keys: Iterable[Key], now: float) -> None:
        """Let what was refused be tried at once: something that it needs has just been made."""
        for key in keys:
            trouble = self.troubles.get(key)
            if trouble is not None and trouble.error is not None:
                self.troubles[key] = replace(trouble, next_at=now, attempts=0)

    def is_stale(self, key: Key) -> bool:
        """Whether the last refusal only says that we looked too early: the next pass looks and decides."""
        trouble = self.troubles.get(key)
        return trouble is not None and trouble.error is not None and _is_stale(trouble.error, trouble.attempts)

    def _done(self, change: Change, now: float, actor: Actor | None) -> None:
        drift = self.drift_of(change)
        self.troubles.pop(change.key, None)
        if drift is not None:
            churn = self._churns[change.key] = self._churns.get(change.key, Churn()).repaired(now)
            if churn.contested(now):
                repairs, suspect = len(churn.repairs), self._suspects.get(change.key, actor)
                self.troubles[change.key] = Trouble(Phase.CONTESTED, change, drift, attempts=repairs, actor=suspect)
        if change.op is Op.DELETE:
            self._retired.discard(change.key)
        else:
            self._settled.add(change.key)

    def calm(self, now: float) -> None:
        """Forget fights that are over."""
        for key in [key for key, churn in self._churns.items() if not churn.contested(now)]:
            if self._churns[key].over(now):
                del self._churns[key]
            trouble = self.troubles.get(key)
            if trouble is not None and trouble.phase is Phase.CONTESTED and trouble.next_at is None:
                del self.troubles[key]
        self._suspects = {key: actor for key, actor in self._suspects.items() if key in self._churns}

    def next_due(self) -> float | None:
        """Return the CLOCK_BOOTTIME of the earliest attempt; None when none is planned."""
        return min((t.next_at for t in self.troubles.values() if t.next_at is not None), default=None)

    def overdue(self, now: float) -> Iterator[Key]:
        """Yield what is to be tried again by *now*, once: the attempt itself plans the next."""
        for key, trouble in list(self.troubles.items()):
            if trouble.next_at is not None and trouble.next_at <= now:
                self.troubles[key] = replace(trouble, next_at=None)
                yield key

    def blocked_keys(self) -> Mapping[Key, tuple[Key, ...]]:
        """Return what is blocked, and by what."""
        return {key: t.waits_for for key, t in self.troubles.items() if t.phase is Phase.BLOCKED}


def _is_stale(error: KernelError, attempts: int) -> bool:
    return attempts == 1 and error.code in LOOK_AGAIN
