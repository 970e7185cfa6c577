"""Throw-away network namespaces that are named after the process that made them.

The name says who made it, so that whatever a crashed run left behind can be
found and removed by :func:`sweep`. Nothing here touches any other namespace.
"""

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PREFIX = "neolab"
RUN_NETNS = Path("/run/netns")
LOCKS = Path("/run/neo-lock")
_OURS = re.compile(rf"^{PREFIX}-(\d+)-")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count(1)


def unique(tag: str) -> str:
    """Return a name for a namespace or directory that no other run uses."""
    return f"{PREFIX}-{os.getpid()}-{next(_serial)}-{tag}"


def run(*argv: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a failure shows what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def ip(ns: str, *argv: str, check: bool = True) -> str:
    """Run ``ip`` in a namespace and return what it printed."""
    return run("ip", "-n", ns, *argv, check=check).stdout


def ip_batch(ns: str, lines: Sequence[str]) -> None:
    """Run many ``ip`` commands in one process; stops at the first that fails."""
    run("ip", "-n", ns, "-batch", "-", stdin="\n".join(lines) + "\n")


def create(name: str) -> str:
    """Make a namespace with its loopback up and without IPv6 chatter on new links."""
    run("ip", "netns", "add", name)
    ip(name, "link", "set", "lo", "up")
    return name


def delete(name: str) -> None:
    """End every process inside the namespace; take its name away, and what a neod that was killed in it left."""
    try:
        found = (RUN_NETNS / name).stat()
    except FileNotFoundError:
        return
    for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
        if int(pid) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    run("ip", "netns", "del", name, check=False)
    for left in (f"netns-{found.st_dev}-{found.st_ino}", f"sysctls-{found.st_ino}"):
        with contextlib.suppress(OSError):
            (LOCKS / left).unlink()


@contextlib.contextmanager
def namespace(tag: str) -> Iterator[str]:
    """Make a namespace and take it away."""
    name = create(unique(tag))
    try:
        yield name
    finally:
        delete(name)


def sweep() -> list[str]:
    """Remove namespaces and directories of runs whose process is gone; return their names."""
    gone = []
    for place in (RUN_NETNS, Path(tempfile.gettempdir())):
        for entry in sorted(place.iterdir()) if place.exists() else ():
            owner = _OURS.match(entry.name)
            if owner is None or Path(f"/proc/{owner[1]}").exists():
                continue
            gone.append(entry.name)
            if place == RUN_NETNS:
                delete(entry.name)
            else:
                shutil.rmtree(entry, ignore_errors=True)
    return gone


@contextlib.contextmanager
def inside(name: str | None) -> Iterator[None]:
    """Move the calling thread into a namespace for the length of the block.

    Sockets opened inside stay there; ``/proc/sys/net`` shows its values.
    """
    if name is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def argv_in(ns: str, *argv: str) -> list[str]:
    """Return the command line that runs *argv* in a namespace and in nothing else new.

    Not ``ip netns exec``: that makes a mount namespace, in which new named
    namespaces stay invisible to everybody else.
    """
    return ["nsenter", f"--net={RUN_NETNS / ns}", *argv]


def poll(what: Callable[[], T], timeout_s: float, every_s: float = 0.02, why: str = "") -> T:
    """Return the first true value of *what*; raise TimeoutError after *timeout_s*, naming *why*."""
    end = time.monotonic() + timeout_s
    while not (value := what()):
        if time.monotonic() > end:
            raise TimeoutError(f"{why or what} not true within {timeout_s} s: last {value!r}")
        time.sleep(every_s)
    return value


def exit_on_sigterm() -> None:
    """Make SIGTERM unwind the stack, so that every ``finally`` runs."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def die_with_parent() -> None:
    """Ask the kernel, in a child before exec, for SIGKILL when the thread that made it ends."""
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)
