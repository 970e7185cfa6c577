"""``python -m demo.traffic``: server and downloader of the demo, each a process in a namespace.

``web ADDRESS PORT [mptcp]`` answers every connection with one known stream without an end.
``get ADDRESS PORT [mptcp] [via ADDRESS PORT]`` fetches it (through a SOCKS5 proxy), compares every byte, and prints
``<CLOCK_MONOTONIC> <bytes so far>`` ten times a second; on SIGTERM ``done <bytes>``, else what went wrong.
"""

# ruff: noqa: TID251 (it stamps what it prints)
import random
import signal
import socket
import sys
import threading
import time
from types import FrameType

IPPROTO_MPTCP = 262
BLOCK = random.Random(110).randbytes(65_521)  # a prime: no buffer size hides a block that was lost
PATIENCE_S = 60.0


def _socket(mptcp: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP if mptcp else 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def web(place: tuple[str, int], mptcp: bool) -> None:
    """Send the stream to whoever connects."""
    with _socket(mptcp) as listener:
        listener.bind(place)
        listener.listen(64)
        print("listening", flush=True)
        while True:
            threading.Thread(target=_pour, args=(listener.accept()[0],), daemon=True).start()


def _pour(conn: socket.socket) -> None:
    client = conn.getpeername()
    with conn:
        try:
            while True:
                conn.sendall(BLOCK)
        except OSError as error:
            print(f"{time.monotonic():.3f} {client[0]}:{client[1]} ended: {error}", flush=True)


def get(place: tuple[str, int], mptcp: bool, via: tuple[str, int] | None) -> None:
    """Fetch until SIGTERM; raise OSError when the connection breaks, ValueError at a wrong byte."""
    with _socket(mptcp) as conn:
        conn.settimeout(PATIENCE_S)
        conn.connect(via or place)
        if via:
            _ask_socks(conn, place)
        total, due = 0, 0.0
        buffer = memoryview(bytearray(1 << 18))
        while count := conn.recv_into(buffer):
            _compare(buffer[:count], total)
            total += count
            if (now := time.monotonic()) >= due:
                print(f"{now:.3f} {total}", flush=True)
                due = now + 0.1
    raise ConnectionError(f"the connection ended after {total} bytes, at {time.monotonic():.3f}")


def _compare(got: memoryview, offset: int) -> None:
    at = 0
    while at < len(got):
        place = (offset + at) % len(BLOCK)
        length = min(len(got) - at, len(BLOCK) - place)
        if got[at : at + length] != BLOCK[place : place + length]:
            raise ValueError(f"a wrong byte after {offset + at}")
        at += length


def _ask_socks(conn: socket.socket, place: tuple[str, int]) -> None:
    """Ask a SOCKS5 proxy for a connection. Source: RFC 1928, sections 3 to 6."""
    conn.sendall(b"\x05\x01\x00")
    if _exactly(conn, 2) != b"\x05\x00":
        raise ConnectionError("the proxy wants a password")
    conn.sendall(b"\x05\x01\x00\x01" + socket.inet_aton(place[0]) + place[1].to_bytes(2, "big"))
    if (answer := _exactly(conn, 10))[1]:
        raise ConnectionError(f"the proxy refused: {answer[1]}")


def _exactly(conn: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = conn.recv(count - len(got))
        if not part:
            raise ConnectionError("the proxy closed the connection")
        got += part
    return got


class _Enough(Exception):
    """SIGTERM came."""


def _enough(_number: int, _frame: FrameType | None) -> None:
    raise _Enough


def main(argv: list[str]) -> int:
    """Do what the first word says; return the exit status."""
    verb, address, port, *rest = argv
    place, mptcp = (address, int(port)), "mptcp" in rest
    at = rest.index("via") if "via" in rest else None
    via = (rest[at + 1], int(rest[at + 2])) if at is not None else None
    signal.signal(signal.SIGTERM, _enough)
    try:
        web(place, mptcp) if verb == "web" else get(place, mptcp, via)
    except _Enough:
        print("done", flush=True)
        return 0
    except (OSError, ValueError) as error:
        print(f"failed: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
