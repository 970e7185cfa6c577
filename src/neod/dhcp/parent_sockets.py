"""The packet socket of one parent link that carries the DHCP of all its clients.

Whatever the link does (down, deleted, made anew) ends in a socket opened again later, never
in an exception.
"""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from neod.dhcp.rate_limited_log import RateLimitedLog
from neod.dhcp.rawsocket import DRAIN, Packets, PacketSocket
from neod.model.facts import FOREVER

REOPEN_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Receiver:
    """What to call with each frame of a parent, and once when all that had arrived was passed on."""

    on_dhcp: Callable[[bytes], None]
    on_turn: Callable[[], None]


class ParentSockets:
    """Sends and receives frames on the link that has the parent's name."""

    def __init__(
        self, parent: str, receiver: Receiver, packets: Packets, counters: dict[str, int], log: RateLimitedLog
    ) -> None:
        self.problem = ""
        self._parent, self._receiver, self._packets = parent, receiver, packets
        self._counters, self._log = counters, log
        self._dhcp: PacketSocket | None = None
        self._reopen_at, self._failures = 0.0, 0

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._dhcp is not None

    @property
    def mac(self) -> bytes:
        """The parent's own MAC, as far as it is known."""
        return self._dhcp.mac if self._dhcp else b""

    # ── open and closed ───────────────────────────────────────────────────────────────────────

    def check(self, now: float) -> None:
        """Have the socket open on the link that has the parent's name now; keep it if the link was only renamed."""
        if self._dhcp is not None:
            if self._packets.is_on(self._dhcp, self._parent):
                self._counters["dropped"] += self._dhcp.dropped()
                return
            self._fail("the link is gone", now)
        if now >= self._reopen_at:
            self._open(now)

    def next_check(self) -> float:
        """Return when ``check`` should be called, beside its regular turn."""
        return FOREVER if self._dhcp is not None else self._reopen_at

    def close(self) -> None:
        """Close the socket."""
        if self._dhcp is not None:
            asyncio.get_running_loop().remove_reader(self._dhcp.fileno())
            self._dhcp.close()
        self._dhcp = None

    def _open(self, now: float) -> None:
        try:
            self._dhcp = self._packets.open_dhcp(self._parent)
        except OSError as exc:
            self._fail(_words(exc), now)
            return
        asyncio.get_running_loop().add_reader(self._dhcp.fileno(), self._on_dhcp)
        self._failures, self.problem = 0, ""
        self._log.say("dhcp.listening", parent=self._parent, index=self._dhcp.index)

    def _fail(self, why: str, now: float) -> None:
        self.close()
        self._reopen_at = now + REOPEN_S[min(self._failures, len(REOPEN_S) - 1)]
        self._failures += 1
        if not self.problem:
            self._log.limited("dhcp.deaf", parent=self._parent, why=why)
        self.problem = f"cannot listen on {self._parent}: {why}"

    # ── sending and receiving ─────────────────────────────────────────────────────────────────

    def send(self, frame: bytes) -> None:
        """Send *frame*; what the kernel does not take is lost, as anything on a wire can be."""
        if self._dhcp is None:
            return
        try:
            self._dhcp.send(frame)
        except OSError as exc:
            self._counters["send_errors"] += 1
            self.problem = f"cannot send on {self._parent}: {exc.strerror or exc}"
        else:
            if self.problem:
                self.problem = ""

    def _on_dhcp(self) -> None:
        if self._dhcp is None:
            return
        arrived: list[bytes] = []
        try:
            arrived.extend(self._dhcp.frames(DRAIN))  # those before an error are kept
        except OSError as exc:
            if exc.errno != errno.ENETDOWN:  # that is said once when the link goes down, and the socket lives on
                self.close()
        try:
            for frame in arrived:
                self._receiver.on_dhcp(frame)
        finally:
            self._receiver.on_turn()


def _words(exc: OSError) -> str:
    """Return the error's name and text; that of ``if_nametoindex`` has neither."""
    return (
        f"{errno.errorcode.get(exc.errno, str(exc.errno))} {exc.strerror or exc}"
        if exc.errno
        else "there is no such link"
    )
