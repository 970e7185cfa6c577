"""Paths that are slow: two tun devices, and between them a process that holds every packet for a while.

A process of its own: a thread would have to wait its turn for the interpreter
with every packet, and a path that loses packets is not what was asked for.
"""

import contextlib
import fcntl
import heapq
import mmap
import os
import select
import struct
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from tests.lab.netns import die_with_parent, inside, ip_batch

ROOT = Path(__file__).resolve().parents[3]
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SHARED = struct.Struct("dQ")  # delay in seconds, packets seen


class SlowPath:
    """``NAME`` in both namespaces, point to point; *delay_s* each way may be changed at any time."""

    def __init__(self, name: str, here: tuple[str, str], there: tuple[str, str], delay_s: float) -> None:
        ends = [_tun(ns, name) for ns, _ in (here, there)]
        for (ns, address), (_, peer) in ((here, there), (there, here)):
            ip_batch(ns, [f"addr add {address} peer {peer} dev {name}", f"link set {name} up"])
        memory = os.memfd_create("path")
        os.ftruncate(memory, SHARED.size)
        self._shared = mmap.mmap(memory, SHARED.size)
        self.delay_s = delay_s
        fds = (*ends, memory)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.race.paths", *map(str, fds)],
            pass_fds=fds,
            cwd=ROOT,
            preexec_fn=die_with_parent,
        )
        for fd in fds:
            os.close(fd)

    @property
    def delay_s(self) -> float:
        """How long a packet is held."""
        return SHARED.unpack(self._shared)[0]

    @delay_s.setter
    def delay_s(self, value: float) -> None:
        self._shared[:8] = struct.pack("d", value)

    @property
    def seen(self) -> int:
        """How many packets came."""
        return SHARED.unpack(self._shared)[1]

    def __enter__(self) -> "SlowPath":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._shared.close()


def carry(one: int, two: int, shared: mmap.mmap) -> None:
    """Carry packets indefinitely."""
    poll, queue, serial = select.poll(), [], count()
    other = {one: two, two: one}
    for fd in other:
        poll.register(fd, select.POLLIN)
    while True:
        wait_ms = max(0.0, queue[0][0] - time.monotonic()) * 1000 if queue else None
        for fd, _ in poll.poll(wait_ms):
            delay_s, seen = SHARED.unpack(shared)
            for packet in _packets(fd):
                seen += 1
                heapq.heappush(queue, (time.monotonic() + delay_s, next(serial), other[fd], packet))
            shared[8:] = struct.pack("Q", seen)
        while queue and queue[0][0] <= time.monotonic():
            _, _, fd, packet = heapq.heappop(queue)
            os.write(fd, packet)


def _packets(fd: int) -> list[bytes]:
    found: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < 256:
            found.append(os.read(fd, 65536))
    return found


def _tun(ns: str, name: str) -> int:
    with inside(ns):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


if __name__ == "__main__":
    first, second, third = map(int, sys.argv[1:])
    carry(first, second, mmap.mmap(third, SHARED.size))
