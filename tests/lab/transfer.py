"""One long MPTCP transfer between two namespaces of the lab, and how fast it was when.

``python -m tests.lab.transfer recv ADDRESS PORT [HELD_S]`` prints ``<monotonic> <bytes so far>`` ten times a second,
``differs`` where bytes came that are not those that were sent, ``wrong`` with place, length and origin of each run of
them, ``right`` when they have ended, and ``eof`` at the end; ``… send ADDRESS PORT SECONDS [SOURCE]`` sends as much as
it can until the time is over or SIGTERM comes, and prints how much, then ``done``, or its error.
``… flood ADDRESS PORT COUNT [SOURCE]`` opens COUNT connections one after the other and keeps them.
"""

import itertools
import signal
import socket
import sys
import threading
import time
import warnings
from mmap import MADV_DONTNEED, mmap
from pathlib import Path

from tests.lab.held import held
from tests.lab.netns import poll, run
from tests.lab.process import Program
from tests.lab.stream import CHUNK, PERIOD, Wrong, misplaced_by_kernel, sent, stream, wrong

IPPROTO_MPTCP = 262
PATIENCE_S = 60.0
REGION_BYTES = 16 * CHUNK  # that are held until they are right again


class BytesMisplacedByLinux(UserWarning):
    """Bytes arrived in the wrong place, and bear the marks of the kernel's defect that tests.lab.stream describes."""


class Transfer:
    """A receiver on the server and a sender on the host; leaving the block ends both, and judges what arrived."""

    def __init__(
        self,
        server: str,
        host: str,
        address: str,
        directory: Path,
        port: int = 5001,
        listen: str = "",
        held_s: float = 0.0,
    ) -> None:
        self.server, self.host, self.address, self.port, self.directory = server, host, address, port, directory
        self.listen = listen or address
        self.held_s = held_s  # every recv(), which owns the socket that long
        self._receiver: Program | None = None
        self._sender: Program | None = None

    def start(self, seconds: float, source: str = "") -> "Transfer":
        """Begin to send, for some seconds."""
        self.stop()
        self.judge()
        for name in ("recv.log", "send.log"):
            (self.directory / name).unlink(missing_ok=True)
        base = [sys.executable, "-m", "tests.lab.transfer"]
        place = [self.address, str(self.port)]
        self._receiver = Program(
            self.server,
            [*base, "recv", self.listen, str(self.port), str(self.held_s)],
            self.directory / "recv.log",
            PLACE,
        )
        poll(lambda: "listening" in self._printed("recv.log"), 10, why="the receiver listens")
        tail = [str(seconds), *([source] if source else [])]
        self._sender = Program(self.host, [*base, "send", *place, *tail], self.directory / "send.log", PLACE)
        poll(lambda: self.samples() or not self.sending, 10, why=f"first bytes; {self._printed('send.log')}")
        return self

    def _printed(self, name: str) -> str:
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def sending(self) -> bool:
        """Whether the sender still runs."""
        return self._sender is not None and self._sender.running

    def samples(self) -> list[tuple[float, int]]:
        """Return (CLOCK_MONOTONIC, bytes received by then), oldest first."""
        lines = (line.split() for line in self._printed("recv.log").splitlines())
        return [(float(line[0]), int(line[1])) for line in lines if len(line) == 2 and line[0][0].isdigit()]

    def mbit_s(self, last_s: float, before: float | None = None) -> float:
        """Return the rate over the last seconds, or over those before an instant."""
        samples = [s for s in self.samples() if before is None or s[0] <= before]
        if len(samples) < 2:
            return 0.0
        end = samples[-1]
        begin = next((s for s in samples if s[0] >= end[0] - last_s), samples[0])
        return (end[1] - begin[1]) * 8 / 1e6 / (end[0] - begin[0]) if end[0] > begin[0] else 0.0

    def result(self, timeout_s: float = 60.0) -> str:
        """Wait until the sender is done and return its last word: ``done``, or what went wrong."""
        poll(lambda: not self.sending, timeout_s, 0.1, "the sender ends")
        return (self._printed("send.log").strip().splitlines() or ["nothing"])[-1]

    def finish(self, timeout_s: float = 60.0) -> tuple[int, int]:
        """Let the sender come to its end; return how many bytes it sent, and how many arrived."""
        assert self._sender is not None
        self._sender.signal(signal.SIGTERM)
        word = self.result(timeout_s)
        assert word == "done", word
        poll(lambda: "eof" in self._printed("recv.log"), timeout_s, 0.1, "all bytes arrive")
        return int(self._printed("send.log").split()[-2]), self.samples()[-1][1]

    def judge(self) -> None:
        """Fail when bytes arrived in a wrong place; only warn where it is the kernel's defect and nothing else.

        Either says where, from where in the stream they are, and what the kernels have counted.
        """
        lines = [words for line in self._printed("recv.log").splitlines() if (words := line.split())]
        begun, ended = ([place for word, *place in lines if word == what] for what in ("differs", "right"))
        if not begun:
            return
        found = [Wrong(*map(int, place)) for word, *place in lines if word == "wrong"]
        counted = {ns: mptcp_counters(ns) for ns in (self.host, self.server)}
        told = ["the bytes that arrived are not those that were sent", *map(str, found)]
        told += [f"{ns}: " + ", ".join(map(" ".join, counts.items())) for ns, counts in counted.items()]
        joined = int(counted[self.server].get("MPTcpExtMPJoinAckRx", 0))
        assert len(begun) == len(ended) and misplaced_by_kernel(found, joined), "\n".join(told)
        warnings.warn("\n".join(told), BytesMisplacedByLinux, stacklevel=2)

    def longest_gap_s(self) -> float:
        """Return the longest time without a byte."""
        times = [at for at, _ in self.samples()]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def stop(self) -> None:
        """End both."""
        for program in (self._sender, self._receiver):
            if program is not None and program.running:
                program.kill()
        self._sender = self._receiver = None

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if failed is None:
            self.judge()


PLACE = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def mptcp_counters(ns: str) -> dict[str, str]:
    """Return what the kernel has counted of MPTCP in a namespace, without the zeroes."""
    told = run("ip", "netns", "exec", ns, "nstat", "-as", "MPTcp*").stdout.splitlines()
    return dict(line.split()[:2] for line in told if line.startswith("MPTcp"))


def _open(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP)


def _receive(address: str, port: int, held_s: float) -> None:
    with _open(address) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(512)
        print("listening", flush=True)
        while True:
            buffer = held(CHUNK, held_s) if held_s else bytearray(CHUNK)
            threading.Thread(target=_drain, args=(listener.accept()[0], buffer), daemon=True).start()


def _drain(conn: socket.socket, buffer: bytearray | mmap) -> None:
    total, due, region = 0, 0.0, b""
    while count := conn.recv_into(buffer):
        right = buffer[:count] == sent(total, count)
        if region and (right or len(region) > REGION_BYTES):
            _tell(region, total)
            region = b""
        if not right and not region:
            print(f"differs {total}", flush=True)
        region += b"" if right else buffer[:count]
        total += count
        if isinstance(buffer, mmap):
            buffer.madvise(MADV_DONTNEED)
        if (now := time.monotonic()) >= due:
            print(f"{now:.3f} {total}", flush=True)
            due = now + 0.1
    if region:
        _tell(region, total)
    print(f"{time.monotonic():.3f} {total}\neof", flush=True)


def _tell(region: bytes, end: int) -> None:
    """Say of the bytes before a place what is wrong about them."""
    for one in wrong(region, end - len(region)):
        print(f"wrong {one.at} {one.length} {one.distance}")
    print(f"right {end}", flush=True)


def _send(address: str, port: int, seconds: float, source: str) -> None:
    with _open(address) as conn:
        conn.settimeout(PATIENCE_S)
        if source:
            conn.bind((source, 0))
        conn.connect((address, port))
        end, total, all_bytes = time.monotonic() + seconds, 0, memoryview(stream())
        told: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
        while time.monotonic() < end and not told:
            total += conn.send(all_bytes[total % PERIOD : total % PERIOD + CHUNK])  # what the kernel took, nothing else
    print(f"{total}\ndone", flush=True)


def _flood(address: str, port: int, count: int, source: str) -> None:
    kept = []
    for _ in range(count):
        conn = _open(address)
        if source:
            conn.bind((source, 0))
        conn.connect((address, port))
        conn.sendall(b"x" * 100)
        kept.append(conn)
    print("done", flush=True)
    sys.stdin.read() if not sys.stdin.isatty() else None
    time.sleep(3600)


def main(argv: list[str]) -> None:
    """Do what the first word says."""
    verb, address, port, *rest = argv
    source = rest[1] if len(rest) > 1 else ""
    try:
        match verb:
            case "recv":
                _receive(address, int(port), float(rest[0]) if rest else 0.0)
            case "send":
                _send(address, int(port), float(rest[0]), source)
            case "flood":
                _flood(address, int(port), int(rest[0]), source)
    except OSError as error:
        print(f"failed: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
