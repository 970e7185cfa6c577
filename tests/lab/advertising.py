"""A router that advertises itself on a link."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from tests.lab import netns
from tests.lab.netns import inside, poll

PREFIX = "fd00:77::"
ALL_NODES = "ff02::1"
PREFIX_OPTION = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 1800, 0, socket.inet_pton(socket.AF_INET6, PREFIX))
ADVERTISEMENT = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + PREFIX_OPTION
"""A default router with a prefix for addresses. Source: RFC 4861, sections 4.2 and 4.6.2."""


@contextlib.contextmanager
def advertising(ns: str, link: str) -> Iterator[None]:
    """Send a router advertisement from *link* every few milliseconds."""
    poll(
        lambda: "tentative" not in (told := ll(ns, link)) and "fe80" in told, 5, why="a link-local address to send from"
    )
    with inside(ns):
        sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex(link)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    enough = threading.Event()

    def send() -> None:
        while not enough.wait(0.005):
            with contextlib.suppress(OSError):
                sender.sendto(ADVERTISEMENT, (ALL_NODES, 0, 0, index))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        sender.close()


def ll(ns: str, link: str) -> str:
    """Return what ``ip`` shows of the link-local addresses."""
    return netns.ip(ns, "-6", "-o", "address", "show", "dev", link, "scope", "link")
