"""What comes of an MPTCP connection from every address to a server that the user named. Blocks; not for the loop.

One address alone can be silent, refused or stripped of MPTCP, while the others
are fine: what is said of one therefore depends on what came of all.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from neod.daemon.doctor.context import Finding, ProbeContext, ProbedPath

IPPROTO_MPTCP: Final = 262
SOL_MPTCP, MPTCP_INFO = 284, 1
INFO_FLAGS: Final = Struct("=8xI")
FALLBACK, KEY_RECEIVED = 1, 2
PATIENCE_S: Final = 3.0
AT_ONCE: Final = 64
ARP_COMPLETE: Final = 2
COUNTED: Final = 3
"""Connections that tell by which link answers come: more than a stray packet of somebody else would make up for."""

REMEDIES: Final = {
    errno.ECONNREFUSED: "nothing listens there: check address and port",
    errno.EADDRNOTAVAIL: "the address is not on this host now: see neodctl status",
    errno.ENETUNREACH: "its table has no way there: see neodctl status",
    errno.EHOSTUNREACH: "its gateway does not answer: see ip neighbour",
    errno.ENOPROTOOPT: "this kernel does not tell; 5.16 or newer does",
}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of one address."""

    path: ProbedPath
    error: OSError | None = None  # of the MPTCP connection
    speaks: bool = False  # connected, and both ends speak MPTCP
    plain: bool = False  # plain TCP connects where MPTCP did not

    @property
    def answered(self) -> bool:
        """Whether a connection came about."""
        return self.error is None or self.plain

    @property
    def silent(self) -> bool:
        """Whether nothing at all came back."""
        return isinstance(self.error, TimeoutError) and not self.plain


def check_server_mptcp(context: ProbeContext) -> Iterator[Finding]:
    """Does the named server speak MPTCP with every address; do packets of every address return, and by its link?"""
    if context.server is None or not context.paths:
        return
    server = context.server
    with ThreadPoolExecutor(min(AT_ONCE, len(context.paths)), "doctor") as pool:
        results = list(pool.map(lambda path: probe_path(path, server), context.paths))
        answering, before = resolved(context.proc), packets(context.proc)
        heard = [one.path for one in results if one.path.parent and one.answered]
        answers = dict(zip(heard, pool.map(lambda path: _answers(path, server), heard), strict=True))
    for result in results:
        yield diagnose(result, results, server, result.path.name in answering)
    yield from asymmetric_replies(answers, before, packets(context.proc))


def probe_path(path: ProbedPath, server: tuple[str, int]) -> ProbeResult:
    """Open one MPTCP connection from *path* to *server*, and one of plain TCP if that fails."""
    try:
        return ProbeResult(path, speaks=_connects_with_mptcp(path, server))
    except OSError as error:
        return ProbeResult(path, error, plain=_connects(path, server))


def _socket(server: tuple[str, int], protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_STREAM, protocol)
    made.settimeout(PATIENCE_S)
    return made


def _connects_with_mptcp(path: ProbedPath, server: tuple[str, int]) -> bool:
    with _socket(server, IPPROTO_MPTCP) as sock:
        sock.bind((path.address, 0))
        sock.connect(server)
        try:
            flags: int = INFO_FLAGS.unpack_from(sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 128))[0]
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # the kernel has handed it to TCP
                return False
            raise
    return bool(flags & KEY_RECEIVED) and not flags & FALLBACK


def _connects(path: ProbedPath, server: tuple[str, int]) -> bool:
    try:
        with _socket(server, socket.IPPROTO_TCP) as sock:
            sock.bind((path.address, 0))
            sock.connect(server)
    except OSError:
        return False
    return True


def _answers(path: ProbedPath, server: tuple[str, int]) -> int:
    """Connect a few times; return how many packets must have come back at least."""
    return sum(_connects(path, server) for _ in range(COUNTED))


def diagnose(
    result: ProbeResult, results: Sequence[ProbeResult], server: tuple[str, int], gateway_answers: bool
) -> Finding:
    """Return what one result means beside the others."""
    path, way = result.path, f"{result.path.address} → {server[0]}:{server[1]}"
    name = f"mptcp from {path.name}"
    if result.speaks:
        return Finding(name, "fine", f"{way} speaks MPTCP")
    others = sum(one.speaks for one in results)
    if result.error is None:
        if others:
            evidence = f"{way}: connected, but as plain TCP, while {others} of {len(results)} addresses speak MPTCP"
            return Finding(name, "fault", evidence, "something on the way of this address strips MPTCP: try a relay")
        evidence = f"{way}: connected, but as plain TCP"
        remedy = "the server does not listen with MPTCP (there: ss -lM), or every way strips it: try a relay"
        return Finding(name, "fault", evidence, remedy)
    if result.plain:
        evidence = f"{way}: MPTCP {_why(result.error)}, plain TCP connects"
        return Finding(
            name, "fault", evidence, "something on the way drops or resets what has MPTCP: try a relay or a port"
        )
    if result.silent:
        return Finding(name, "fault", *_no_reply_finding(way, others, len(results), gateway_answers))
    remedy = REMEDIES.get(result.error.errno or 0, f"ask: ip route get {server[0]} from {path.address}")
    return Finding(name, "fault", f"{way}: {_why(result.error)}", remedy)


def _why(error: OSError) -> str:
    return f"has no answer within {PATIENCE_S:g} s" if isinstance(error, TimeoutError) else error.strerror or str(error)


def _no_reply_finding(way: str, others: int, all_of_them: int, gateway_answers: bool) -> tuple[str, str]:
    """Return evidence and remedy of an address that hears nothing."""
    if not gateway_answers:
        evidence = f"{way}: no answer, and its gateway does not answer ARP to its MAC"
        return evidence, "the network lets fewer MACs through (port security), or the gateway is gone: see ip neighbour"
    if others:
        evidence = f"{way}: no answer, though its gateway answers ARP and {others} of {all_of_them} addresses have one"
        return (
            evidence,
            "it has a lease, and packets do not return: the network filters this source, or sends it elsewhere",
        )
    return f"{way}: no answer, nor to any other address", "the server is down, or a firewall drops this port"


def asymmetric_replies(
    answers: Mapping[ProbedPath, int], before: Mapping[str, int], after: Mapping[str, int]
) -> Iterator[Finding]:
    """Yield the addresses whose *answers*, so many packets at least, came in by another link than theirs."""
    known = [path for path, count in answers.items() if count and path.name in before]
    lost = [path for path in known if after.get(path.name, 0) - before[path.name] < answers[path]]
    if lost:
        shown = ", ".join(f"{path.name} ({path.address})" for path in lost[:8])
        evidence = (
            f"answers to {shown} do not come in by it, but by {lost[0].parent}: the gateway has another MAC for them"
        )
        remedy = (
            "find who answers ARP for them: an interface with arp_ignore 0, or a bridge (Wi-Fi, a virtual machine's) "
            "that gives all the MAC of the host"
        )
        yield Finding("gateway", "fault", evidence, remedy)
    elif known:
        yield Finding("gateway", "fine", f"answers to {len(known)} addresses come in by their own links")


def packets(proc: Path) -> dict[str, int]:
    """Return how many packets each link has received."""
    lines = _lines(proc / "net/dev")
    rows = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): int(rest.split()[1]) for name, rest in rows if len(rest.split()) > 1}


def resolved(proc: Path) -> frozenset[str]:
    """Return the links on which somebody answers ARP."""
    rows = (line.split() for line in _lines(proc / "net/arp")[1:])
    return frozenset(row[5] for row in rows if len(row) > 5 and int(row[2], 16) & ARP_COMPLETE)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
