"""The one family of errors that neo raises on purpose."""

import errno
from typing import Final

TRANSIENT: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTUNREACH,  # a gateway whose link is not up yet
        errno.EINTR,
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


class KernelError(NeoError):
    """The kernel refused *call*; *transient* says whether asking again can help."""

    def __init__(self, call: str, code: int, why: str) -> None:
        super().__init__(f"{call}: {errno.errorcode.get(code, str(code))}: {why}")
        self.call, self.code, self.why = call, code, why

    @property
    def transient(self) -> bool:
        """Whether the same request can succeed later with nothing changed in the file."""
        return self.code in TRANSIENT


class ConfigError(NeoError):
    """The file cannot be used; *problems* says where and why, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ReadingFailed(ConfigError):
    """The file was not read to its end, for want of time or memory: nothing is known of it; trying again may help."""
