"""The state of neod's paths: which addresses have their table, rule and route, so that packets take the right link.

Varlink on neo-race's own loop. neod may be absent, restarting or of another
version: then the call fails, and is retried later.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from neod.control.address import SOCKET, bindable
from neod.control.call import ReplyBuffer, request
from neod.control.codec import decode
from neod.control.verb import Verb, verb_of
from neod.control.verbs.events import EventVerbs
from neod.control.verbs.status import PathRow, StatusVerbs
from neod.race.loop import ERR, HUP, IN, RDHUP, Loop, Timer

STATUS: Final = verb_of(StatusVerbs.status)
EVENTS: Final = verb_of(EventVerbs.events)
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
    found = {}
    rows = reply.get("paths")
    for given in rows if isinstance(rows, list) else ():
        try:
            row = decode(PathRow, given)
            found[row.name] = (row.address.partition("/")[0], row.state)
        except (TypeError, AttributeError):  # of another version
            continue
    return found


class VarlinkCall:
    """One call of a verb. *replied* gets each reply; *ended* is called once, after the last."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        verb: Verb,
        replied: Callable[[Mapping[str, Any]], None],
        ended: Callable[[], None],
        **arguments: object,
    ) -> None:
        self._loop, self._replied, self._ended = loop, replied, ended
        self._received = ReplyBuffer()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._timer: Timer | None = None if verb.streams else loop.call_later(REPLY_TIMEOUT_S, self._end)
        self._over = False
        try:
            with bindable(path) as name:
                self._sock.connect(name)
            self._sock.send(request(verb.name, arguments, verb.streams))  # smaller than any socket buffer
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
        self._received.add(received)
        if not received or len(self._received) > MAX_REPLY_BYTES or (mask & (ERR | HUP) and not mask & IN):
            self._end()
        while not self._over:
            try:
                reply = self._received.take()
            except (ValueError, AttributeError):
                self._end()
                return
            if reply is None:
                return
            if not reply.error:
                self._replied(reply.parameters)
            if reply.error or not reply.continues:
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
        self._closed = True
        for call in (self._status_call, self._events_call):
            if call is not None:
                call.close()

    def _follow(self) -> None:
        if self._closed:
            return
        self._events_call = VarlinkCall(
            self._loop, self._path, EVENTS, self._on_event_reply, self._on_ended, follow=True
        )
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
            self._status_call = VarlinkCall(self._loop, self._path, STATUS, self._on_status, self._on_status_ended)

    def _on_status_ended(self) -> None:
        self._status_call = None

    def _on_status(self, reply: Mapping[str, Any]) -> None:
        self._retry_s = FIRST_RETRY_S
        found = states(reply)
        if found != self.states:
            self.states = found
            self._changed()
