"""The control socket of the daemon: its file, and admission of connections."""

import asyncio
import socket
from collections import Counter
from pathlib import Path
from typing import Final

import structlog
from asyncvarlink import VarlinkInterfaceRegistry
from asyncvarlink.serviceinterface import VarlinkServiceInterface

from neod.control.access import Groups, groups_of_host
from neod.control.address import SOCKET
from neod.control.codec import encode
from neod.control.connection import ClientConnection
from neod.control.errors import Overrun
from neod.control.peer import Peer, peer_of
from neod.control.service import ControlService
from neod.control.socket_file import BACKLOG, AlreadyServed, SocketFile
from neod.control.stream import ClientLimits, Stream
from neod.control.varlink import NAME, VarlinkAdapter

LOOK_S: Final = 1.0  # at the socket file
ACCEPT_AT_ONCE: Final = 4  # connections in one turn of the loop; asyncio takes its backlog for that
REFUSAL_LOG_INTERVAL_S: Final = 10.0  # one line for all refused connections: a flood of them must not flood the log

log = structlog.get_logger("neod.control")


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
        self._limits = limits or ClientLimits()
        self._registry = VarlinkInterfaceRegistry()
        self._registry.register_interface(VarlinkServiceInterface("neo", "neod", version, "", self._registry))
        self._registry.register_interface(VarlinkAdapter(service))
        self.groups = groups or groups_of_host()
        self._open: Counter[int] = Counter()  # connections by uid
        self._refused, self._refusal_logged = 0, float("-inf")
        self.path = runtime_dir / SOCKET
        self._file = SocketFile(self.path, self.groups)
        self._socket: socket.socket | None = None  # the last that was bound
        self._server: asyncio.Server | None = None
        self._problem = ""
        self._group: asyncio.TaskGroup | None = None
        self._turns = {True: asyncio.Lock(), False: asyncio.Lock()}  # of the trusted, who wait for no stranger

    def bind(self) -> None:
        """Make the socket file; clients that connect from now on wait for ``run``, which tries again if it cannot be.

        Raises:
            AlreadyServed: another process listens there.
        """
        try:
            self._socket = self._file.bind()
        except OSError as error:
            if self._problem != (problem := f"{error.strerror or error}"):
                log.error("no control socket", path=str(self.path), why=problem, next=f"tried every {LOOK_S:g} s")
            self._problem = problem
        else:
            self._problem = ""

    async def run(self) -> None:
        """Serve until cancelled; then close all connections and remove the socket file.

        Whoever removes the file, its directory or its rights, gets them made again.
        """
        try:
            async with asyncio.TaskGroup() as self._group:
                while True:
                    if self._server is None or not self._file.in_place():
                        await self._serve_again()
                    await asyncio.sleep(LOOK_S)
        finally:
            if self._server is not None:
                self._server.close()
            self._file.remove()

    async def _serve_again(self) -> None:
        """Listen on the socket that is bound, or a new one; clients of the one before are served to their end."""
        if self._server is not None or self._socket is None:
            try:
                self.bind()
            except AlreadyServed as error:
                if self._server is None:
                    raise
                log.error("no control socket", path=str(self.path), why=str(error))
                return
        if self._socket is None or self._problem:
            return
        if self._server is not None:
            log.warning("the control socket was taken away; it is made again", path=str(self.path))
            self._server.close()
        await self._listen(self._socket)

    async def _listen(self, sock: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: Stream(self._limits, self._admit), sock=sock, backlog=ACCEPT_AT_ONCE, start_serving=False
        )
        await self._server.start_serving()
        sock.listen(BACKLOG)  # as start_serving() has just made it ACCEPT_AT_ONCE

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
            await ClientConnection(stream, peer, self._registry, self.groups.writers, self._turns[peer.trusted()]).run()
        finally:
            self._open[peer.uid] -= 1
            if not self._open[peer.uid]:
                del self._open[peer.uid]
