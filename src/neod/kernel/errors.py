"""Where library and system errors become neo's own."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from neod.model.errors import KernelError
from neod.netlink.netns import in_netns

T = TypeVar("T")


def refused(call: str, code: int, words: str = "") -> KernelError:
    """Return the error for *call* that failed with errno *code*; *words* are the kernel's own."""
    return KernelError(call, code, words or os.strerror(code))


def from_os_error(call: str, error: OSError) -> KernelError:
    """Return the KernelError that *error* stands for."""
    return refused(call, error.errno or errno.EIO)


def within_netns(path: Path, call: Callable[[], T]) -> T:
    """Return what *call* returns in the network namespace at *path*.

    Raises:
        KernelError: the namespace cannot be entered, or *call* raised an OSError.
    """
    try:
        return in_netns(path, call)
    except OSError as error:
        raise from_os_error(f"in {path}", error) from error
