"""The control socket of the daemon: its file, and admission of connections."""

import asyncio
import os
import socket
import stat
from collections import Counter
from pathlib import Path
from typing import Final

import structlog
from asyncvarlink import VarlinkInterfaceRegistry
from asyncvarlink.serviceinterface import VarlinkServiceInterface

from neod.control.access import Groups, admit, groups_of_host
from neod.control.address import SOCKET, bindable
from neod.control.codec import encode
from neod.control.connection import ClientConnection
from neod.control.errors import Overrun
from neod.control.peer import Peer, peer_of
from neod.control.service import ControlService
from neod.control.stream import ClientLimits, Stream
from neod.control.varlink import NAME, VarlinkAdapter
from neod.model.errors import NeoError

BACKLOG: Final = 64
ACCEPT_AT_ONCE: Final = 4  # connections in one turn of the loop; asyncio takes its backlog for that
REFUSAL_LOG_INTERVAL_S: Final = 10.0  # one line for all refused connections: a flood of them must not flood the log

log = structlog.get_logger("neod.control")


class AlreadyServed(NeoError):
    """Another process answers on the control socket."""


class ControlServer:
    """Serves a ``ControlService`` on ``neod.sock`` in the runtime directory, to untrusted clients."""

    def __init__(
        self,
        service: ControlService,
        runtime_dir: Path,
        version: str,
        limits: ClientLimits | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.path = runtime_dir / SOCKET
        self._limits = limits or ClientLimits()
        self._registry = VarlinkInterfaceRegistry()
        self._registry.register_interface(VarlinkServiceInterface("neo", "neod", version, "", self._registry))
        self._registry.register_interface(VarlinkAdapter(service))
        self.groups = groups or groups_of_host()
        self._open: Counter[int] = Counter()  # connections by uid
        self._refused, self._refusal_logged = 0, float("-inf")
        self._socket: socket.socket | None = None
        self._group: asyncio.TaskGroup | None = None
        self._turn = asyncio.Lock()

    def bind(self) -> None:
        """Make the socket file; clients that connect from now on wait for ``run``.

        Raises:
            AlreadyServed: another process listens there.
            OSError: the file cannot be made.
        """
        _clear(self.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            os.fchmod(sock.fileno(), 0o600)  # the file is born with this mode: no moment when all may connect
            with bindable(str(self.path)) as name:
                sock.bind(name)
            if os.geteuid() == 0:
                admit(self.path, self.groups)
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        self._socket = sock

    async def run(self) -> None:
        """Serve until cancelled; then close all connections and remove the socket file."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None
        born = self.path.lstat().st_ino
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Stream(self._limits, self._admit), sock=self._socket, backlog=ACCEPT_AT_ONCE, start_serving=False
        )
        try:
            await server.start_serving()
            self._socket.listen(BACKLOG)  # as start_serving() has just made it ACCEPT_AT_ONCE
            async with asyncio.TaskGroup() as self._group:
                await server.serve_forever()
        finally:
            server.close()
            _remove(self.path, born)

    def _admit(self, stream: Stream) -> None:
        """Start serving the client, or refuse it with an error."""
        try:
            peer = peer_of(stream.writer.get_extra_info("socket"))
        except OSError:
            stream.abort()
            return
        if reason := self._no_room(peer):
            self._refuse(stream, peer, reason)
        elif self._group is not None:
            self._group.create_task(self._serve(stream, peer), name=f"control client {peer.pid}")

    def _no_room(self, peer: Peer) -> str:
        total = self._open.total()
        if total >= self._limits.connections:
            return "too many connections"
        if peer.trusted():
            return ""
        if self._open[peer.uid] >= self._limits.per_uid:
            return f"too many connections of uid {peer.uid}"
        return "too many connections" if total >= self._limits.unprivileged else ""

    def _refuse(self, stream: Stream, peer: Peer, reason: str) -> None:
        stream.writer.write(encode({"error": f"{NAME}.Overrun", "parameters": Overrun(reason)}) + b"\0")
        stream.abort()
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._refusal_logged + REFUSAL_LOG_INTERVAL_S:
            log.warning("control connections refused", reason=reason, uid=peer.uid, count=self._refused)
            self._refused, self._refusal_logged = 0, now

    async def _serve(self, stream: Stream, peer: Peer) -> None:
        self._open[peer.uid] += 1
        try:
            await ClientConnection(stream, peer, self._registry, self.groups.writers, self._turn).run()
        finally:
            self._open[peer.uid] -= 1
            if not self._open[peer.uid]:
                del self._open[peer.uid]


def _clear(path: Path) -> None:
    """Remove the socket file of a process that has ended.

    Raises:
        AlreadyServed: it still runs.
        FileExistsError: something else has the name.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe, bindable(str(path)) as name:
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # a listener so busy that its backlog is full
    raise AlreadyServed(f"another neod answers on {path}")


def _remove(path: Path, inode: int) -> None:
    """Unlink the socket file if it is still ours and not that of a successor."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass
