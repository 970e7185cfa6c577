"""A child process that answers lines, and whose last words are kept."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import Final

LINE_BYTES: Final = 1 << 20
REAPED_WITHIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class AnsweringChild:
    """A process with a socket for standard input and output, and a file for what it says.

    Not one of asyncio's: closing or killing those reaps a process that has just ended behind the back of its watcher,
    which then says "Unknown child process". Source: asyncio.base_subprocess, close; subprocess, send_signal.
    """

    process: "subprocess.Popen[bytes]"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    said: FileIO

    @staticmethod
    async def start(command: Sequence[str], environ: Mapping[str, str]) -> "AnsweringChild":
        """Start *command*.

        Raises:
            OSError: it cannot be started.
        """
        process, ours, said = _spawned(command, environ)
        return AnsweringChild(process, *await asyncio.open_connection(sock=ours, limit=LINE_BYTES), said)

    async def asked(self, line: bytes) -> bytes:
        """Return the line that it answers to *line*; an empty one if it ended.

        Raises:
            OSError: it does not read any more.
        """
        self.writer.write(line + b"\n")
        await self.writer.drain()
        return await self.reader.readline()

    def end(self) -> str:
        """End the process; return how it ended, which is by itself if it had, and the last line that it said."""
        self.writer.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(REAPED_WITHIN_S)
        with self.said:
            self.said.seek(0)
            lines = self.said.readall().decode("utf-8", "replace").strip().splitlines()
        code = self.process.returncode or 0
        how = f"status {code}" if code >= 0 else f"signal {-code}"
        return f"ended with {how}: {lines[-1] if lines else 'it said nothing'}"


def _spawned(
    command: Sequence[str], environ: Mapping[str, str]
) -> "tuple[subprocess.Popen[bytes], socket.socket, FileIO]":
    ours, theirs = socket.socketpair()
    said = FileIO(os.memfd_create("said"), "r+")
    with theirs:
        try:
            process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=said.fileno(), env=environ
            )
        except OSError:
            ours.close()
            said.close()
            raise
    return process, ours, said
