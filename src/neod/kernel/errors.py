"""Where library and system errors become neo's own."""

import errno
import os

from neod.model.errors import KernelError


def refused(call: str, code: int, words: str = "") -> KernelError:
    """Return the error for *call* that failed with errno *code*; *words* are the kernel's own."""
    return KernelError(call, code, words or os.strerror(code))


def from_os_error(call: str, error: OSError) -> KernelError:
    """Return the KernelError that *error* stands for."""
    return refused(call, error.errno or errno.EIO)
