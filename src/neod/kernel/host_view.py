"""One look at the host beside what neod makes of it: who listens, addresses, routes, who uses marks.

Reads only, of the calling thread's network namespace, and a few milliseconds;
what cannot be read is left out.
"""

import re
import socket
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from neod.kernel.netfilter.legacy.libraries import missing_text
from neod.model.host import EVERY_BIT, HostView, ListeningSocket, MarkUse, bits_of
from neod.model.marks import PROTOCOL
from neod.netlink.attributes import AF_INET, AF_INET6, U8, Ip, attrs, number
from neod.netlink.host_addresses import host_addresses
from neod.netlink.rtnetlink import RTM_GETRULE, RULEHDR
from neod.netlink.sock_diag import dump_listeners
from neod.netlink.socket import NETLINK_ROUTE, NETLINK_SOCK_DIAG, Connection

T = TypeVar("T")

PROC: Final = Path("/proc")
FRA_PRIORITY, FRA_FWMARK, FRA_FWMASK, FRA_PROTOCOL = 6, 10, 16, 21
LIST_S: Final = 5.0
NUMBER: Final = "(0x[0-9a-f]+)"
NFT_MASK: Final = re.compile(rf"(?:&|and) {NUMBER}")
NFT_SET: Final = re.compile(rf"(?:\||\^|x?or) {NUMBER}")
NFT_VALUE: Final = re.compile(rf"\bmark (?:set |== |!= )?{NUMBER}")
IPTABLES_MARK: Final = re.compile(rf"--(set-xmark|mark|nfmask|ctmask) {NUMBER}(?:/{NUMBER})?")
SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
OURS: Final = ("inet neo", "NEO-")


def look(targets: Iterable[Ip]) -> HostView:
    """Return what the host is, but for who has its sockets; *targets*: where routes should lead.

    What cannot be read is left out, and nothing else for that.
    """
    addresses = {one.ip: one.link for one in _readable(host_addresses)}
    marks, listeners = tuple(_readable(marks_of_rules)), tuple(_readable(listening))
    links = frozenset(name for _, name in socket.if_nameindex())
    strict = frozenset(link for link in links if rp_filter(link) == 1)
    unreachable = frozenset(ip for ip in targets if not reachable(ip))
    return HostView(listeners, {}, addresses, links, strict, unreachable, marks, default_link(), missing_text())


def _readable(read: Callable[[], Iterable[T]]) -> list[T]:
    try:
        return list(read())
    except OSError:
        return []


def listening() -> Iterator[ListeningSocket]:
    """Yield the sockets that take what comes to a port.

    Raises:
        OSError: they cannot be read.
    """
    first, last = map(int, (_text(PROC / "sys/net/ipv4/ip_local_port_range") or "32768 60999").split())
    passing = range(first, last + 1)
    with Connection(NETLINK_SOCK_DIAG) as connection:
        for name, protocol in (("tcp", socket.IPPROTO_TCP), ("udp", socket.IPPROTO_UDP)):
            for family in (AF_INET, AF_INET6):
                for ip, port, inode, only in dump_listeners(connection.dump, family, protocol):
                    if name == "udp" and port in passing:
                        continue  # it waits for an answer, most likely
                    yield ListeningSocket(name, ip, port, inode, family == AF_INET6 and not only and ip.is_unspecified)


def programs(inodes: Collection[int]) -> Mapping[int, str]:
    """Return who has each socket, as ``sshd[812]``; without the right to look, nobody."""
    found: dict[int, str] = {}
    for fd in PROC.glob("[0-9]*/fd/*") if inodes else ():
        with suppress(OSError, ValueError):
            inode = SOCKET.fullmatch(str(fd.readlink()))
            if inode is not None and int(inode[1]) in inodes:
                process = fd.parent.parent
                found[int(inode[1])] = f"{(process / 'comm').read_text().strip()}[{process.name}]"
    return found


def rp_filter(link: str) -> int:
    """Return the check of sources that counts on an interface: the larger of its own and that of ``all``."""
    conf = PROC / "sys/net/ipv4/conf"
    try:
        return max(int((conf / name / "rp_filter").read_text()) for name in ("all", link))
    except (OSError, ValueError):
        return 0


def default_link() -> str:
    """Return the interface of the main table's IPv4 default route of the least metric; empty without one.

    Source: net/ipv4/fib_trie.c, fib_route_seq_show: the main table alone, sorted by destination and metric.
    """
    with suppress(OSError), (PROC / "net/route").open() as lines:
        for words in map(str.split, lines):
            if words[1] == "00000000" and words[7] == "00000000":
                return words[0]
    return ""


def reachable(ip: Ip) -> bool:
    """Whether a route leads there; nothing is sent."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(ip), 9))
    except OSError:
        return False
    return True


def marks_of_rules() -> Iterator[MarkUse]:
    """Yield the rules of routing, of others, that ask for marks.

    Raises:
        OSError: they cannot be read.
    """
    with Connection(NETLINK_ROUTE) as connection:
        for family in (AF_INET, AF_INET6):
            for _, payload in connection.dump(RTM_GETRULE, RULEHDR.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
                found = attrs(payload, RULEHDR.size)
                bits = bits_of(number(found, FRA_FWMARK), number(found, FRA_FWMASK))
                if bits and number(found, FRA_PROTOCOL, U8) != PROTOCOL:
                    yield MarkUse(f"ip rule {number(found, FRA_PRIORITY)}", bits)


def listed_marks() -> Iterator[MarkUse]:
    """Yield the rules of nftables and of the legacy tables, of others, that compare or change marks."""
    yield from nft_marks(_listed("nft", "list", "ruleset"))
    for version in ("", "6"):
        if "mangle" in _text(PROC / f"net/ip{version}_tables_names"):  # asking for a table that is not there makes it
            yield from iptables_marks(_listed(f"ip{version}tables-legacy-save", "-t", "mangle"), f"ip{version}tables")


def nft_marks(listing: str) -> Iterator[MarkUse]:
    """Yield who uses marks in what ``nft list ruleset`` prints."""
    table = chain = ""
    for line in map(str.strip, listing.splitlines()):
        if line.startswith("table "):
            table = line[6:].rstrip("{ ")
        elif line.startswith("chain "):
            chain = line[6:].rstrip("{ ")
        elif " mark " in f" {line}" and not table.startswith(OURS):
            masks = [int(mask, 16) for mask in NFT_MASK.findall(line)]
            set_ = [int(value, 16) for value in NFT_SET.findall(line)]
            if "mark set" in line:
                bits = EVERY_BIT & ~masks[-1] | sum(set_[-1:]) if masks else EVERY_BIT
            else:
                bits = masks[0] if masks else sum(int(value, 16) for value in NFT_VALUE.findall(line)[:1])
            if bits:
                yield MarkUse(f"nft {table} {chain}", bits)


def iptables_marks(saved: str, program: str) -> Iterator[MarkUse]:
    """Yield who uses marks in what ``iptables-save`` prints."""
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("-A ") and not any(word.startswith(OURS) for word in words):
            for option, mark, mask in IPTABLES_MARK.findall(line):
                bits = int(mask, 16) if mask else EVERY_BIT
                if option == "mark":
                    bits = bits_of(int(mark, 16), bits)
                elif option in ("nfmask", "ctmask"):
                    bits = int(mark, 16)
                yield MarkUse(f"{program} mangle {words[1]}", bits)


def _listed(*argv: str) -> str:
    """Return what a program prints; nothing where it is not there, or may not."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=LIST_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
