"""Where the terminal of this command comes in from: by ssh, also below sudo, screen or another shell.

Only those who ask for an impact load it.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

SSH: Final = b"SSH_CONNECTION="

UTMP: Final = "/run/utmp"
RECORD: Final = struct.Struct("=hxxi32s4s32s256s4x4x4x4x16s20x")
"""struct utmp on 64 bits: type, process, line, id, user, host, …, address. Source: utmp(5)."""
USER_PROCESS: Final = 7


def caller() -> str | None:
    """Return what ``SSH_CONNECTION`` says here or above; else the address that the terminal's login came from.

    None for who is at the host itself, and where neither can be read.
    """
    return os.environ.get("SSH_CONNECTION") or next(_of_ancestors(), None) or _of_terminal()


def _of_ancestors() -> Iterator[str]:
    """Yield it from the environments of the processes above: sudo clears that of its own child alone."""
    process = os.getppid()
    while process > 1:
        try:
            with open(f"/proc/{process}/environ", "rb") as file:  # noqa: PTH123  pathlib costs what a command does
                found = [entry for entry in file.read().split(b"\0") if entry.startswith(SSH)]
            with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
                process = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        for entry in found:
            yield entry.removeprefix(SSH).decode("ascii", "replace")


def _of_terminal() -> str | None:
    """Return the peer of the login on this terminal, as utmp keeps it."""
    with suppress(OSError):
        line = os.ttyname(0).removeprefix("/dev/").encode()
        with open(UTMP, "rb") as file:  # noqa: PTH123
            content = file.read()
        for at in range(0, len(content) - RECORD.size + 1, RECORD.size):
            type_, _, terminal, _, _, _, address = RECORD.unpack_from(content, at)
            if type_ == USER_PROCESS and terminal.rstrip(b"\0") == line and any(address):
                return str(IPv6Address(address) if any(address[4:]) else IPv4Address(address[:4]))
    return None
