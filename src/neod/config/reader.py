"""The parent's side of reading the file: a child process that answers with what it says, or with what is wrong.

Cheap to import, so that a starting daemon can spawn the child first, import
its own heavy modules meanwhile, and collect the answer when it needs it.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from neod.model.errors import ConfigError, ReadingFailed
from neod.observability.streams import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neod.features.intents import Intents

__all__ = ["Child", "ConfigError", "FileReader", "ReadingFailed", "answer_of", "collect", "read", "spawn"]

Child = subprocess.Popen[bytes]

HEADER: Final = Struct(">Q")
"""The length of the pickle that follows: ``("ok", answer)`` or ``("error", (problems, excerpts))``."""

PATIENCE_S: Final = 60.0
"""For a file system that does not answer: half of what systemd gives us to start. Slow machines import for 10 s."""

BOOT: Final = (
    "import sys, runpy; sys.path[:] = sys.argv.pop(1).splitlines(); "
    "runpy.run_module('neod.config', run_name='__main__', alter_sys=True)"
)
"""The child is isolated (-I) from PYTHON* and the working directory, and imports from where we import; it need not
look for the site (-S)."""


def spawn(path: str, environ: Mapping[str, str] | None = None, answer: str = "intents") -> Child:
    """Start the child that reads *path*; without *environ* it has ours. *answer* is one of ``neod.config.ANSWERS``.

    Raises:
        ReadingFailed: the host has no room for another process.
    """
    places = "\n".join(place for place in sys.path if place)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOT, places, answer, path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
    except OSError as error:
        problem = f"cannot start the process that reads it: {error.strerror or error}"
        raise ReadingFailed((_line(path, problem, "see what the host is short of"),)) from error


def collect(child: Child, patience_s: float = PATIENCE_S) -> Intents:
    """Return the intents that the child found; raises as :func:`answer_of` does."""
    intents: Intents = answer_of(child, patience_s)
    return intents


def answer_of(child: Child, patience_s: float = PATIENCE_S) -> Any:
    """Return what the child answers, once it is done; blocks until then.

    Raises:
        ConfigError: the file cannot be used.
        ReadingFailed: the child ended without an answer, or took longer than *patience_s*
            and was killed.
    """
    try:
        out, err = child.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        hint = "look at what keeps the disk or the processors busy"
        raise ReadingFailed((_line(_path(child), f"took longer than {patience_s:g} s to read", hint),)) from None
    size = HEADER.unpack_from(out)[0] if len(out) >= HEADER.size else -1
    if child.returncode != 0 or len(out) != HEADER.size + size:
        raise _child_failure(child, err)
    verdict, found = pickle.loads(out[HEADER.size :])
    if verdict != "ok":
        raise ConfigError(*found)
    return found


async def read(path: str, environ: Mapping[str, str] | None = None) -> Intents:
    """Return what the file at *path* asks for, without blocking the loop.

    Raises:
        ConfigError: the file cannot be used.
    """
    import asyncio

    child = await asyncio.to_thread(spawn, path, environ)
    try:
        return await asyncio.to_thread(collect, child)
    except asyncio.CancelledError:
        child.kill()
        raise


class FileReader:
    """Reads files, each in a process of its own."""

    def spawn(self, path: str) -> Child:
        """Begin to read *path*.

        Raises:
            ReadingFailed: the host has no room for another process.
        """
        return spawn(path)

    def collect(self, child: Child) -> Intents:
        """Return what the child found; blocks until it is done.

        Raises:
            ConfigError: the file cannot be used.
            ReadingFailed: it could not be read to its end.
        """
        return collect(child)

    async def read(self, path: str) -> Intents:
        """Return what the file at *path* asks for, without blocking the loop.

        Raises:
            ConfigError: the file cannot be used.
        """
        return await read(path)


def _child_failure(child: Child, err: bytes) -> ConfigError:
    from signal import Signals

    path = _path(child)
    if child.returncode == -Signals.SIGXCPU:
        return ConfigError((_line(path, "takes too much processor time to read", "make it smaller"),))
    how = f"status {child.returncode}" if child.returncode >= 0 else Signals(-child.returncode).name
    last = err.decode("utf-8", "replace").strip().rpartition("\n")[2] or "it said nothing"
    problem = f"the process that reads it ended with {how}: {last}"
    return ReadingFailed((_line(path, problem, "this is a fault of neo or of the host"),))


def _path(child: Child) -> str:
    return str(child.args[-1]) if isinstance(child.args, list) else ""


def _line(path: str, problem: str, hint: str) -> str:
    return printable(f"{path}: {problem}; {hint}")
