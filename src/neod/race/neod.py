"""What neod says of its paths: which of their addresses have table, rule and route, so that packets leave as meant.

Varlink on neo-race's own loop. neod may be absent, restart or be of another
version: then there is simply no answer, and another attempt later.
"""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from neod.control.address import SOCKET, bindable
from neod.race.loop import ERR, HUP, IN, RDHUP, Loop, Timer

STATUS: Final = "org.neo.Control1.Status"
EVENTS: Final = "org.neo.Control1.Events"
ANSWER_S: Final = 5.0
MOST_BYTES: Final = 16 << 20
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 30.0
SETTLE_S: Final = 0.2
"""neod tells of every change; the state after a burst of them is asked for once."""

States = Mapping[str, tuple[str, str]]
"""Path name: (IPv4 address without prefix length, phase)."""


def states(reply: Mapping[str, Any]) -> States:
    """Return what a ``Status`` reply says of paths; what is malformed is left out."""
    rows = reply.get("paths")
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("name", "address", "state")):
            found[row["name"]] = (row["address"].partition("/")[0], row["state"])
    return found


class Call:
    """One Varlink call. *replied* gets each reply; *ended* comes once, when no more will."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        request: Mapping[str, object],
        replied: Callable[[Mapping[str, Any]], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop, self._replied, self._ended = loop, replied, ended
        self._heard = bytearray()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._timer: Timer | None = None if request.get("more") else loop.call_later(ANSWER_S, self._end)
        self._over = False
        try:
            with bindable(path) as name:
                self._sock.connect(name)
            self._sock.send(json.dumps(request).encode() + b"\0")  # smaller than any socket buffer
        except OSError:
            self._sock.close()
            self._timer = loop.call_later(0.0, self._end)
            return
        loop.watch(self._sock.fileno(), self._on_event, IN | RDHUP)

    def close(self) -> None:
        """Hang up; nothing is called any more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sock.fileno() >= 0:
            self._loop.close_later(self._sock)

    def _end(self) -> None:
        if not self._over:
            self.close()
            self._ended()

    def _on_event(self, mask: int) -> None:
        try:
            heard = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        self._heard += heard
        if not heard or len(self._heard) > MOST_BYTES or (mask & (ERR | HUP) and not mask & IN):
            self._end()
            return
        while not self._over and (end := self._heard.find(b"\0")) >= 0:
            frame = bytes(self._heard[:end])
            del self._heard[: end + 1]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        try:
            reply = json.loads(frame)
            parameters = reply.get("parameters") or {}
            more = bool(reply.get("continues"))
            failed = "error" in reply
        except (ValueError, AttributeError):
            self._end()
            return
        if not failed and isinstance(parameters, dict):
            self._replied(parameters)
        if failed or not more:
            self._end()


class Neod:
    """Keeps ``states`` at what neod says, and calls *changed* when that is something new."""

    def __init__(self, loop: Loop, runtime_dir: str, changed: Callable[[], None]) -> None:
        self.states: States | None = None  # None: nobody has answered
        self._loop, self._path, self._changed = loop, f"{runtime_dir}/{SOCKET}", changed
        self._retry_s = FIRST_RETRY_S
        self._asking: Call | None = None
        self._following: Call | None = None
        self._settling = False
        self._closed = False
        self._follow()

    def ask(self) -> None:
        """Ask for the state soon; many wishes are one question."""
        if not self._settling and not self._closed:
            self._settling = True
            self._loop.call_later(SETTLE_S, self._ask)

    def close(self) -> None:
        """Hang up."""
        self._closed = True
        for call in (self._asking, self._following):
            if call is not None:
                call.close()

    def _follow(self) -> None:
        if self._closed:
            return
        request = {"method": EVENTS, "parameters": {"follow": True}, "more": True}
        self._following = Call(self._loop, self._path, request, self._on_hint, self._on_silence)
        self._ask()

    def _on_hint(self, _: Mapping[str, Any]) -> None:
        self.ask()

    def _on_silence(self) -> None:
        """neod went away or was never there: what it said last stands until it is back."""
        self._following = None
        self._loop.call_later(self._retry_s, self._follow)
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _ask(self) -> None:
        self._settling = False
        if self._asking is None and not self._closed:
            request = {"method": STATUS, "parameters": {}}
            self._asking = Call(self._loop, self._path, request, self._on_status, self._on_asked)

    def _on_asked(self) -> None:
        self._asking = None

    def _on_status(self, reply: Mapping[str, Any]) -> None:
        self._retry_s = FIRST_RETRY_S
        told = states(reply)
        if told != self.states:
            self.states = told
            self._changed()
