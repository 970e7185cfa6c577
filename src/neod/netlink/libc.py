"""Calls of libc that Python does not wrap."""

import ctypes
import os
from typing import Final

libc: Final = ctypes.CDLL(None, use_errno=True)


def check(call: str, result: int) -> None:
    """Raise the error of a call that failed.

    Raises:
        OSError: *result* is not 0.
    """
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
