"""The one family of errors that neo raises on purpose."""

import errno
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from neod.model.key import Key

TRANSIENT: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTUNREACH,  # a gateway whose link is not up yet
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.ENODEV,
        errno.ENOMEM,
        errno.ETIMEDOUT,
    }
)


class NeoError(Exception):
    """Base of everything neo raises on purpose."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Who or what is in the way of a write."""

    text: str  # in plain words, with what to do: "ens3 is a port of br0: use br0"
    holder: "Key | None" = None  # the object in the way: when it changes or goes, the write is tried again at once
    foreign: bool = False  # what is wanted is held by somebody else: a conflict


class KernelError(NeoError):
    """The kernel refused *call*; *obstacle* says who is in the way, where that is known."""

    def __init__(self, call: str, code: int, why: str, obstacle: Obstacle | None = None) -> None:
        self.call, self.code, self.why, self.obstacle = call, code, why, obstacle
        super().__init__(f"{self.refusal}: {obstacle.text}" if obstacle else self.refusal)

    @property
    def refusal(self) -> str:
        """Return what the kernel said, without what is in the way."""
        return f"{self.call}: {errno.errorcode.get(self.code, str(self.code))}: {self.why}"

    @property
    def transient(self) -> bool:
        """Whether the same request can succeed later with nothing changed in the file."""
        movable = self.obstacle is not None and (self.obstacle.foreign or self.obstacle.holder is not None)
        return self.code in TRANSIENT or movable

    def because(self, obstacle: Obstacle | None) -> "KernelError":
        """Return the error with what is in the way."""
        return KernelError(self.call, self.code, self.why, obstacle) if obstacle else self


class ConfigError(NeoError):
    """The file cannot be used; *problems* says where and why, one line each; *excerpts*, of each, shows the place."""

    def __init__(self, problems: tuple[str, ...], excerpts: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.excerpts = problems, excerpts

    @property
    def lines(self) -> tuple[str, ...]:
        """Each problem, and below it the line of the file with a caret, where there is one: for people."""
        pairs = zip_longest(self.problems, self.excerpts, fillvalue="")
        return tuple(line for problem, excerpt in pairs for line in (problem, *filter(None, excerpt.split("\n"))))


class ReadingFailed(ConfigError):
    """The file was not read to its end, for want of time or memory: nothing is known of it; trying again may help."""
