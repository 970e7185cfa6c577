"""Opening, configuring and resetting sockets: every option that neo-race sets, and why."""

import contextlib
import errno
import fcntl
import socket
import struct
import termios
from typing import Final

from neod.race.settings import RaceSettings

IPPROTO_MPTCP: Final = 262
IP_BIND_ADDRESS_NO_PORT: Final = 24
SOL_MPTCP: Final = 284
MPTCP_INFO: Final = 1
SIOCOUTQ: Final = termios.TIOCOUTQ
BACKLOG: Final = 4096
PROBES: Final = 6  # keepalive probes, a sixth of the idle time apart, before the kernel gives up

SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Of this host, and no fault of a client or upstream: it is tried again."""

RESET: Final = struct.pack("ii", 1, 0)  # struct linger: close sends RST and keeps nothing

NO_MPTCP: Final = frozenset({errno.EPROTONOSUPPORT, errno.ENOPROTOOPT, errno.EINVAL, errno.EPERM, errno.EACCES})
"""No MPTCP in the kernel, ``net.mptcp.enabled=0``, or a policy against it; plain TCP is used then."""

SocketOptions = tuple[tuple[int, int, int], ...]  # level, option, value

INITIAL_OPTIONS: Final[SocketOptions] = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
)
"""Needed from the first byte on. Keepalive and user time-out are set later: a short connection is over by then."""

LOOPBACK_BYTES: Final = 1 << 18
"""Of a socket's buffers on loopback, where there is no round-trip time to be filled. The recipe for many paths
(docs/mptcp.md) makes receive buffers begin with megabytes: a program that has stopped reading had 19 MB read ahead."""

SockAddr = tuple[str, int] | tuple[str, int, int, int]


def address_of(host: str, port: int) -> tuple[int, SockAddr]:
    """Return family and socket address of a numeric *host*, with its scope if it has one.

    Raises:
        OSError: it is not an address.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]


def stream(family: int, mptcp: bool) -> socket.socket:
    """Return a non-blocking stream socket: MPTCP if requested and available, else TCP.

    Raises:
        OSError: no socket can be opened.
    """
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    if mptcp:
        try:
            return socket.socket(family, kind, IPPROTO_MPTCP)
        except OSError as error:
            if error.errno not in NO_MPTCP:
                raise
    return socket.socket(family, kind, socket.IPPROTO_TCP)


def bind_source(sock: socket.socket, address: SockAddr) -> None:
    """Bind to an address; ``connect`` chooses the port (IP_BIND_ADDRESS_NO_PORT).

    Otherwise an address would have 28 000 ports for all upstreams together, not for each.
    """
    with contextlib.suppress(OSError):  # MPTCP before 6.8 does not know it
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(address)


def listener(settings: RaceSettings) -> socket.socket:
    """Return the socket that *settings* listens on; what it accepts inherits its options.

    Raises:
        OSError: the address is taken, absent or not allowed.
    """
    family, address = address_of(settings.listen.host, settings.listen.port)
    sock = stream(family, settings.listen_mptcp)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        set_options(sock, options(settings))
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def options(settings: RaceSettings) -> SocketOptions:
    """Return the options of both sides: no delay, detection of dead peers, urgent data in the stream."""
    wanted = [*INITIAL_OPTIONS]
    if settings.timeouts.keepalive_s:
        idle_s = max(1, round(settings.timeouts.keepalive_s))
        wanted += [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle_s // PROBES)),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES),
        ]
    if settings.timeouts.user_s:
        wanted.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(settings.timeouts.user_s * 1000)))
    return tuple(wanted)


def set_options(sock: socket.socket, wanted: SocketOptions) -> None:
    """Set the options that *sock* supports; older MPTCP lacks some, which must not fail the connection."""
    for level, option, value in wanted:
        try:
            sock.setsockopt(level, option, value)
        except OSError:
            continue


def is_loopback(host: str) -> bool:
    """Whether packets for *host*, an address, never leave this host."""
    return host == "::1" or host.startswith("127.")


def bound_buffers(sock: socket.socket) -> None:
    """Keep no more ahead of a reader on loopback than it takes to keep it busy."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, LOOPBACK_BYTES)


def connecting(family: int, local: SockAddr | None, remote: SockAddr, mptcp: bool) -> socket.socket:
    """Return a socket that is connecting to *remote*.

    Raises:
        OSError: it failed at once; nothing is left open.
    """
    sock = stream(family, mptcp)
    try:
        if is_loopback(remote[0]):
            bound_buffers(sock)
        if local is not None:
            bind_source(sock, local)
        code = sock.connect_ex(remote)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, errno.errorcode.get(code, str(code)))
    except OSError:
        sock.close()
        raise
    return sock


def reset_on_close(sock: socket.socket) -> None:
    """Make the next close send RST (SO_LINGER 0), so that the peer keeps nothing half open."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Return the bytes that the peer has not acknowledged (SIOCOUTQ); 0 if the socket is gone."""
    try:
        answer = fcntl.ioctl(sock.fileno(), SIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    waiting: int = struct.unpack("i", answer)[0]
    return waiting


def is_mptcp(sock: socket.socket) -> bool:
    """True if the connection is MPTCP at both ends, not fallen back to TCP."""
    if sock.proto != IPPROTO_MPTCP:
        return False
    try:
        sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 16)
    except OSError:
        return False
    return True
