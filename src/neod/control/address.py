"""Where the control socket is. Used by both ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SOCKET: Final = "neod.sock"  # in the runtime directory
LONGEST: Final = 107  # bytes of sockaddr_un.sun_path, without its NUL


@contextmanager
def bindable(path: str) -> Iterator[str]:
    """Yield a name of *path* that fits into a socket address, however long the path is.

    Raises:
        OSError: the directory cannot be opened.
    """
    if len(os.fsencode(path)) <= LONGEST:
        yield path
        return
    directory_name, name = os.path.split(path)
    directory = os.open(directory_name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{name}"
    finally:
        os.close(directory)
