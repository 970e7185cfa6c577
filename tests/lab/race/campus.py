"""Eight addresses, each limited by itself, in front of a pair of neo-race.

client namespace                                   server namespace
curl → neo-race ═ MPTCP over 10.94.0.1 … .8 ═ neo-race → an HTTP server
                    a class of htb an address, on lan0
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.lab.netns import ip, ip_batch, namespace, run

ADDRESSES = [f"10.94.0.{n}" for n in range(1, 9)]
FAR = "10.94.0.100"
ENTRANCE = ("127.0.0.1", 4430)
QUEUE_PACKETS = 50
"""Of an address; a router's queue, not a second of it."""


@dataclass(frozen=True, slots=True)
class Campus:
    """The two namespaces, and what the server has sent to each address."""

    client: str
    server: str

    def sent(self) -> dict[str, int]:
        """Return the bytes that each address was sent, as they were on the wire."""
        text = run("ip", "netns", "exec", self.server, "tc", "-s", "class", "show", "dev", "lan0").stdout
        found = re.findall(r"class htb 1:(\d+) .*?Sent (\d+) bytes", text, re.DOTALL)
        return {ADDRESSES[int(n) - 1]: int(total) for n, total in found}


@contextlib.contextmanager
def campus(mbit: float) -> Iterator[Campus]:
    """Make it, with *mbit* an address, and take it away."""
    with namespace("client") as client, namespace("server") as server:
        ip_batch(client, [f"link add up0 type veth peer name lan0 netns {server}"])
        ip_batch(client, [*(f"addr add {a}/24 dev up0" for a in ADDRESSES), "link set up0 up"])
        ip_batch(server, [f"addr add {FAR}/24 dev lan0", "link set lan0 up"])
        _throttle(server, mbit)
        for ns in (client, server):
            ip(ns, "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        for address in ADDRESSES[1:]:
            ip(client, "mptcp", "endpoint", "add", address, "dev", "up0", "subflow")
        yield Campus(client, server)


def _throttle(ns: str, mbit: float) -> None:
    """One htb class an address, as the campus gateway has it; it sees the packets of the wire.

    A veth would hand it TCP's super-packets of up to 64 KiB: 50 of those were
    350 kB of queue, a third of a second and more, and unequal. Data that waits
    there holds up what came over seven other ways; so went a tenth of the rate.
    """
    ip(ns, "link", "set", "lan0", "gso_max_segs", "1")
    rate = f"{int(mbit * 1e6)}bit"
    lines = ["qdisc add dev lan0 root handle 1: htb default 99"]
    for n, address in enumerate(ADDRESSES, 1):
        lines.append(f"class add dev lan0 parent 1: classid 1:{n} htb rate {rate} burst 15k cburst 15k quantum 1514")
        lines.append(f"qdisc add dev lan0 parent 1:{n} pfifo limit {QUEUE_PACKETS}")
        lines.append(f"filter add dev lan0 parent 1: protocol ip prio 1 u32 match ip dst {address}/32 flowid 1:{n}")
    run("ip", "netns", "exec", ns, "tc", "-batch", "-", stdin="\n".join(lines) + "\n")


def pair(upstream: str) -> tuple[str, str]:
    """Return the races of the client and of the server, who has a program at *upstream*."""
    host, port = ENTRANCE
    keys = f'mptcp = true\nsources = ["{ADDRESSES[0]}"]\n'
    near = f'[races.near]\nlisten = "{host}:{port}"\nupstreams = ["{FAR}:4430"]\n{keys}'
    far = f'[races.far]\nlisten = "{FAR}:4430"\nlisten_mptcp = true\nupstreams = ["{upstream}"]\nsources = "none"\n'
    return near, far
