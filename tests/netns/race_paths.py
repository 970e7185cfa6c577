"""Paths that are slow: two tun devices, and between them a thread that holds every packet for a while."""

import fcntl
import heapq
import os
import select
import struct
import threading
import time
from itertools import count

from tests.lab.netns import inside, ip_batch

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


class SlowPath:
    """``NAME`` in both namespaces, point to point; *delay_s* each way may be changed at any time."""

    def __init__(self, name: str, here: tuple[str, str], there: tuple[str, str], delay_s: float) -> None:
        self.delay_s = delay_s
        self.seen = 0  # packets
        self._ends = [_tun(ns, name) for ns, _ in (here, there)]
        for (ns, address), (_, peer) in ((here, there), (there, here)):
            ip_batch(ns, [f"addr add {address} peer {peer} dev {name}", f"link set {name} up"])
        self._stop_out, self._stop_in = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def __enter__(self) -> "SlowPath":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stop_in)
        self._thread.join(5)
        for fd in (*self._ends, self._stop_out):
            os.close(fd)

    def _carry(self) -> None:
        poll, queue, serial = select.poll(), [], count()
        for fd in (*self._ends, self._stop_out):
            poll.register(fd, select.POLLIN)
        other = dict(zip(self._ends, reversed(self._ends), strict=True))
        while True:
            wait_s = max(0.0, queue[0][0] - time.monotonic()) if queue else None
            for fd, _ in poll.poll(None if wait_s is None else wait_s * 1000):
                if fd == self._stop_out:
                    return
                self.seen += 1
                heapq.heappush(queue, (time.monotonic() + self.delay_s, next(serial), other[fd], os.read(fd, 65536)))
            while queue and queue[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(queue)
                os.write(fd, packet)


def _tun(ns: str, name: str) -> int:
    with inside(ns):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd
