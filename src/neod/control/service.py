"""What the control socket asks of the daemon, as one Protocol.

Every method is called on the daemon's event loop, possibly several at once and
while a pass runs; none may block it. A caller that hangs up cancels ``wait``
and ``events``; any other call is finished for nobody. Whether the caller may
write was checked before. What is raised beside the errors named here is a
bug: the caller is told so, the log has the traceback, and the daemon goes on.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from neod.control.replies import (
    ApplyReply,
    ConfirmReply,
    DoctorReply,
    EventRecord,
    LeasesReply,
    ModeReply,
    PathsReply,
    PlanReply,
    ReloadReply,
    ShowReply,
    StatusReply,
    WaitReply,
    WhyReply,
)


class Control(Protocol):
    """The verbs of ``neodctl``, as the daemon implements them.

    An *object* is the text of a key (``rule:11003/…``), or the name of a path,
    forward or namespace (``neo3``), which stands for all objects that belong to it.
    """

    async def status(self, object: str | None) -> StatusReply:
        """Return the state after the last pass at once, also while one runs.

        A unit that waits for a fact counts as blocked: a drift named after
        the unit, with the fact in ``waits_for``. With *object*, rows, drifts
        and ``objects`` are those of that object only; the rest is the same.

        Raises:
            NoSuchObject: nothing is called *object*.
        """
        ...

    async def diff(self) -> PlanReply:
        """Return what separates the kernel, read now, from what is desired, in plan order. Writes nothing."""
        ...

    async def plan(self, file: str | None) -> PlanReply:
        """Return the very plan the next pass would run, or would with *file*. Writes nothing.

        Args:
            file: absolute path, read with the daemon's rights; None: the file in use.

        Raises:
            FileInvalid: *file* cannot be used.
        """
        ...

    async def apply(self) -> ApplyReply:
        """Run one full pass now, after any that is running, and return what came of it.

        Failed changes are part of the reply, not an exception.

        Raises:
            ApplyFailed: the pass could not run (the kernel could not be read).
            Paused: nothing is changed while paused.
        """
        ...

    async def reload(self, confirm_s: float | None) -> ReloadReply:
        """Read the file again; if it is valid, make it the desired state and return the plan that leads to.

        The pass follows by itself. With *confirm_s* (> 0) the file before
        comes back after that time, also if the caller is long gone, unless
        ``confirm`` is called.

        Raises:
            FileInvalid: nothing was changed; ``status`` shows the file as stale.
            Busy: a reload is still waiting for its confirmation.
        """
        ...

    async def confirm(self) -> ConfirmReply:
        """Make the last reload permanent.

        Raises:
            NothingToConfirm: none waits; ``rolled_back`` if one did until recently.
        """
        ...

    async def show(self, which: str, kind: str | None) -> ShowReply:
        """Return the resources: *which* is ``desired``, or ``observed`` as last read; of one *kind* or all.

        Raises:
            NoSuchObject: there is no such kind.
        """
        ...

    async def leases(self) -> LeasesReply:
        """Return every DHCP client, with or without a lease, by link."""
        ...

    async def doctor(self, server: tuple[str, int] | None) -> DoctorReply:
        """Return what kernel and host allow, looked at now, and what becomes of connections to *server*."""
        ...

    async def paths(self) -> PathsReply:
        """Return every MPTCP connection with its subflows, read from their sockets now.

        Raises:
            ApplyFailed: they could not be read.
        """
        ...

    async def why(self, object: str) -> WhyReply:
        """Return line of the file, lease, needs and the last actions of one object.

        Of a name that stands for several objects, the most telling one: the
        first that has a drift, else the link.

        Raises:
            NoSuchObject: nothing is called *object*; ``similar`` names what may have been meant.
        """
        ...

    def events(self, since: float | None, follow: bool) -> AsyncIterator[Sequence[EventRecord]]:
        """Yield records in batches, oldest first: what is still kept, then with *follow* what comes.

        Batches are non-empty. ``neod.control.feed.Feed`` is this, ready made.

        Args:
            since: seconds since the epoch; None: all that is kept, or with *follow* only what comes.

        Raises:
            Lagged: the reader did not keep up.
        """
        ...

    async def wait(self, any_path: bool, timeout_s: float) -> WaitReply:
        """Return as soon as everything is converged, or with *any_path* when one path is in-sync.

        Returns at once if it is so already, but never before the first pass.

        Raises:
            TimedOut: with what is still waited for, in words.
        """
        ...

    async def pause(self, for_s: float | None) -> ModeReply:
        """Stop writing, go on observing; resume by itself after *for_s*. A pass that runs is finished first."""
        ...

    async def resume(self) -> ModeReply:
        """Write again (also after ``down``), starting with a full pass."""
        ...

    async def down(self) -> ApplyReply:
        """Remove everything owned and nothing else, and stay that way (mode ``down``).

        Until ``resume``, ``reload`` or a restart. Foreign objects, and leases
        on disk, stay.
        """
        ...
