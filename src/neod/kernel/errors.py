"""Where errors of the system and of netlink become neo's own."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from neod.model.errors import KernelError
from neod.netlink.message import NetlinkError
from neod.netlink.netns import in_netns

T = TypeVar("T")


def refused(call: str, code: int, words: str = "") -> KernelError:
    """Return the error for *call* that failed with errno *code*; *words* are the kernel's own."""
    return KernelError(call, code, words or os.strerror(code))


def from_os_error(call: str, error: OSError) -> KernelError:
    """Return the KernelError that *error* stands for, with the kernel's explanation where netlink gave one."""
    return refused(call, error.errno or errno.EIO, error.text if isinstance(error, NetlinkError) else "")


@contextmanager
def kernel_call(call: str) -> Iterator[None]:
    """Raise whatever system error the body meets as the KernelError of *call*."""
    try:
        yield
    except OSError as error:
        raise from_os_error(call, error) from error


def within_netns(path: Path, call: Callable[[], T]) -> T:
    """Return what *call* returns in the network namespace at *path*.

    Raises:
        KernelError: the namespace cannot be entered, or *call* raised an OSError.
    """
    with kernel_call(f"in {path}"):
        return in_netns(path, call)
