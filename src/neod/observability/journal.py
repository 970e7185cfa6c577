"""The journal's own protocol: a line of the log with its fields, as one datagram.

``journalctl NEO_PATH=neo3`` finds them. Sources: JOURNAL_NATIVE_PROTOCOL of systemd; sd_journal_print(3).
"""

import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TextIO

SOCKET: Final = "/run/systemd/journal/socket"
SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
EVENTS: Final = "8f0c6d1e-5b0a-4f5e-9d37-6e656f110110"
"""The name space of our message ids: one for each event, the same for ever."""


def leads_to_journal(descriptor: int, stream: str) -> bool:
    """Whether *descriptor* is what the service manager connected to the journal: *stream* is JOURNAL_STREAM."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


@lru_cache
def message_id(event: str) -> str:
    """Return the MESSAGE_ID of an event, such as "repaired"."""
    from uuid import UUID, uuid5

    return uuid5(UUID(EVENTS), event).hex


def fields_of(program: str, priority: int, message: str, event: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of one line: those that systemd knows, and each value as ``NEO_…``."""
    object_ = str(values.get("object", ""))
    kind, _, name = object_.partition(":")
    path = str(values.get("path") or (name if kind == "link" else ""))
    found = {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": program,
        "MESSAGE_ID": message_id(event),
        "NEO_EVENT": event,
        "NEO_KIND": kind if name else "",
        "NEO_PATH": path,
        "INTERFACE": name if kind == "link" else path,
    }
    found |= {"NEO_" + re.sub(r"[^A-Z0-9]", "_", key.upper())[:60]: str(value) for key, value in values.items()}
    return {key: value for key, value in found.items() if value}


def datagram(fields: Mapping[str, str]) -> bytes:
    """Return the fields as the journal takes them: with a length where a value has several lines."""
    return b"".join(_field(key.encode(), value.encode("utf-8", "replace")) for key, value in fields.items())


def _field(key: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return key + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return key + b"=" + value + b"\n"


class JournalLogger:
    """Sends lines to the journal, or where there is none to *otherwise*. Never waits: a full queue loses the line."""

    def __init__(self, otherwise: TextIO, path: str = SOCKET) -> None:
        self._otherwise, self._path, self._lost = otherwise, path, 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def msg(self, line: str, fields: Mapping[str, str]) -> None:
        """Send *fields*; *line* is the same as text."""
        if self._lost:
            fields = {**fields, "NEO_LOST": str(self._lost)}  # lines before this one, which the journal had no room for
        try:
            self._send(datagram(fields))
            self._lost = 0
        except BlockingIOError:
            self._lost += 1
        except OSError:  # there is no journal, or none any more
            print(line, file=self._otherwise, flush=True)

    debug = info = warning = error = critical = exception = msg

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):  # more than a datagram holds
                raise
            self._send_sealed(data)

    def _send_sealed(self, data: bytes) -> None:
        """Send *data* as a file in memory that nobody can change any more."""
        memory = os.memfd_create("neo-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(memory, data)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", memory))]
            self._socket.sendmsg([b""], rights, 0, self._path)
        finally:
            os.close(memory)
