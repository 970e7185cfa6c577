"""What the daemon refuses, as exceptions on both ends of the control socket.

The fields of each are its parameters on the wire; ``str()`` is one line for
people. Not for: what the kernel refused to a pass, which is part of a reply.
"""

from dataclasses import dataclass

from neod.model.errors import NeoError


@dataclass(eq=False, init=False)
class ControlError(NeoError):
    """Base of what a control call can end in instead of a reply; its fields go over the wire."""


@dataclass(eq=False)
class NoSuchObject(ControlError):
    """Nothing of that name is desired, observed or configured."""

    object: str
    similar: tuple[str, ...] = ()

    def __str__(self) -> str:
        near = f"did you mean {', '.join(self.similar)}?" if self.similar else "neodctl show observed prints all"
        return f"no such object: {self.object}; {near}"


@dataclass(eq=False)
class FileInvalid(ControlError):
    """The file cannot be used; nothing was changed."""

    problems: tuple[str, ...]  # one line each: file:line:column: key: what would be right
    lines: tuple[str, ...] = ()  # the same for people: below each the line of the file, and a line with a caret

    def __str__(self) -> str:
        return "\n".join(self.lines or self.problems)


@dataclass(eq=False)
class NotAllowed(ControlError):
    """The caller may read but not do this."""

    method: str
    uid: int

    def __str__(self) -> str:
        return f"{self.method} is for root and members of group neo (adduser NAME neo); you are uid {self.uid}"


@dataclass(eq=False)
class TimedOut(ControlError):
    """What was waited for did not come in time."""

    waits_for: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "timed out; still waiting: " + ("; ".join(self.waits_for) or "the first pass is not over")


@dataclass(eq=False)
class ApplyFailed(ControlError):
    """The pass could not be carried out at all, or was undone."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class Busy(ControlError):
    """Not now: something else is in the way, and trying again later can help."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class Overrun(ControlError):
    """Too many connections are open; this one was turned away."""

    reason: str

    def __str__(self) -> str:
        return f"neod turned the connection away: {self.reason}; try again when others have ended"


@dataclass(eq=False)
class Paused(ControlError):
    """Nothing is changed while neod is paused, nor after ``down``."""

    until: str = ""
    mode: str = "paused"  # | down

    def __str__(self) -> str:
        if self.mode == "down":
            return "neod is down: neodctl resume brings everything back"
        return f"paused until {self.until or 'neodctl resume'}"


@dataclass(eq=False)
class NothingToConfirm(ControlError):
    """No reload waits for a confirmation."""

    rolled_back: bool = False  # one did, but its time ran out

    def __str__(self) -> str:
        return "too late: the reload was undone" if self.rolled_back else "no reload waits to be confirmed"


@dataclass(eq=False)
class Lagged(ControlError):
    """The reader was too slow; *missed* records are gone and the stream has ended."""

    missed: int

    def __str__(self) -> str:
        return f"this reader was too slow: {self.missed} events were dropped"


@dataclass(eq=False)
class InternalError(ControlError):
    """A bug in neod; *reference* finds its traceback in the log."""

    reference: str

    def __str__(self) -> str:
        return f"internal error in neod; its log has the details: journalctl -u neod -g {self.reference}"


ERRORS: tuple[type[ControlError], ...] = (
    NoSuchObject,
    FileInvalid,
    NotAllowed,
    TimedOut,
    ApplyFailed,
    Busy,
    Overrun,
    Paused,
    NothingToConfirm,
    Lagged,
    InternalError,
)
"""All of them, as the interface lists them."""
