"""The state of neod's paths: which addresses have their table, rule and route, so that packets take the right link.

Varlink on neo-race's own loop. neod may be absent, restarting or of another
version: then the call fails, and is retried later.
"""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from neod.control.address import SOCKET, bindable
from neod.race.loop import ERR, HUP, IN, RDHUP, Loop, Timer

STATUS: Final = "org.neo.Control1.Status"
EVENTS: Final = "org.neo.Control1.Events"
REPLY_TIMEOUT_S: Final = 5.0
MAX_REPLY_BYTES: Final = 16 << 20
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 30.0
SETTLE_S: Final = 0.2
"""neod reports every change; the state is queried once after a burst."""

States = Mapping[str, tuple[str, str]]
"""Path name: (IPv4 address without prefix length, phase)."""


def states(reply: Mapping[str, Any]) -> States:
    """Return the paths of a ``Status`` reply; malformed rows are left out."""
    rows = reply.get("paths")
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("name", "address", "state")):
            found[row["name"]] = (row["address"].partition("/")[0], row["state"])
    return found


class VarlinkCall:
    """One Varlink call. *replied* gets each reply; *ended* is called once, after the last."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        request: Mapping[str, object],
        replied: Callable[[Mapping[str, Any]], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop, self._replied, self._ended = loop, replied, ended
        self._received = bytearray()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._timer: Timer | None = None if request.get("more") else loop.call_later(REPLY_TIMEOUT_S, self._end)
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
        """Close the connection; nothing is called any more."""
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
            received = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        self._received += received
        if not received or len(self._received) > MAX_REPLY_BYTES or (mask & (ERR | HUP) and not mask & IN):
            self._end()
            return
        while not self._over and (end := self._received.find(b"\0")) >= 0:
            frame = bytes(self._received[:end])
            del self._received[: end + 1]
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


class PathStatusClient:
    """Keeps ``states`` equal to neod's, and calls *changed* when they change."""

    def __init__(self, loop: Loop, runtime_dir: str, changed: Callable[[], None]) -> None:
        self.states: States | None = None  # None: no reply yet
        self._loop, self._path, self._changed = loop, f"{runtime_dir}/{SOCKET}", changed
        self._retry_s = FIRST_RETRY_S
        self._status_call: VarlinkCall | None = None
        self._events_call: VarlinkCall | None = None
        self._settling = False
        self._closed = False
        self._follow()

    def query(self) -> None:
        """Query the state soon; several calls are one query."""
        if not self._settling and not self._closed:
            self._settling = True
            self._loop.call_later(SETTLE_S, self._query)

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        for call in (self._status_call, self._events_call):
            if call is not None:
                call.close()

    def _follow(self) -> None:
        if self._closed:
            return
        request = {"method": EVENTS, "parameters": {"follow": True}, "more": True}
        self._events_call = VarlinkCall(self._loop, self._path, request, self._on_event_reply, self._on_ended)
        self._query()

    def _on_event_reply(self, _: Mapping[str, Any]) -> None:
        self.query()

    def _on_ended(self) -> None:
        """Reconnect later: neod stopped or does not run. Its last reply stays in force."""
        self._events_call = None
        self._loop.call_later(self._retry_s, self._follow)
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _query(self) -> None:
        self._settling = False
        if self._status_call is None and not self._closed:
            request = {"method": STATUS, "parameters": {}}
            self._status_call = VarlinkCall(self._loop, self._path, request, self._on_status, self._on_status_ended)

    def _on_status_ended(self) -> None:
        self._status_call = None

    def _on_status(self, reply: Mapping[str, Any]) -> None:
        self._retry_s = FIRST_RETRY_S
        found = states(reply)
        if found != self.states:
            self.states = found
            self._changed()
