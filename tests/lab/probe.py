"""Packets sent all the time through every path, so that the loss of one shows."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable

from tests.lab.netns import inside, poll

ECHO_PORT = 7007
_SEQ = struct.Struct("!IQ")


class Echo:
    """A UDP echo server in a namespace, as a thread of the test."""

    def __init__(self, ns: str, address: str) -> None:
        with inside(ns):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, ECHO_PORT))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, peer = self._socket.recvfrom(64)
            except TimeoutError:
                continue
            self._socket.sendto(data, peer)

    def stop(self) -> None:
        """End the server."""
        self._over.set()
        self._thread.join(5)
        self._socket.close()


class Probe:
    """Sends numbered packets from each address to an echo server and notes which come back."""

    def __init__(self, ns: str, sources: Iterable[str], target: str, every_s: float = 0.01) -> None:
        self._target, self._every_s = (target, ECHO_PORT), every_s
        self._sockets = {}
        for source in sources:
            with inside(ns):
                self._sockets[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets[source].bind((source, 0))
            self._sockets[source].setblocking(False)
        self.sent = dict.fromkeys(self._sockets, 0)
        self.back: dict[str, set[int]] = {source: set() for source in self._sockets}
        self.refused: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Probe":
        self._thread.start()
        poll(lambda: all(self.back.values()), 10, why="a first answer on every path")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)
        for each in self._sockets.values():
            each.close()

    def goes_on(self) -> None:
        """Wait until some more packets have been sent on every path and have come back."""
        before = {source: len(back) for source, back in self.back.items()}
        poll(lambda: all(len(back) >= before[source] + 3 for source, back in self.back.items()), 20, why="probes pass")

    def finish(self) -> list[str]:
        """Stop sending, wait for what is under way, return what was lost in words."""
        self._over.set()
        self._thread.join(10)
        return [
            f"{source}: {self.sent[source] - len(back)} of {self.sent[source]} lost"
            for source, back in self.back.items()
            if len(back) < self.sent[source]
        ] + self.refused

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        for source, each in self._sockets.items():
            selector.register(each, selectors.EVENT_READ, source)
        due = time.monotonic()
        while not self._over.is_set():
            for source, each in self._sockets.items():
                self._send(source, each)
            due += self._every_s
            self._receive(selector, due)
        end = time.monotonic() + 5
        while any(len(self.back[source]) < sent for source, sent in self.sent.items()) and time.monotonic() < end:
            self._receive(selector, time.monotonic() + 0.1)

    def _send(self, source: str, each: socket.socket) -> None:
        try:
            each.sendto(_SEQ.pack(self.sent[source], time.monotonic_ns()), self._target)
        except OSError as refusal:
            self.refused.append(f"{source}: packet {self.sent[source]} not sent: {refusal}")
        self.sent[source] += 1

    def _receive(self, selector: selectors.BaseSelector, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            for key, _events in selector.select(left):
                data = self._sockets[key.data].recv(64)
                self.back[key.data].add(_SEQ.unpack(data)[0])
