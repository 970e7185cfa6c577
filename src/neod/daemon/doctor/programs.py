"""Other programs that manage the network of this host."""

from collections.abc import Iterator
from typing import Final

from neod.control.verbs.doctor import ProbeRow
from neod.daemon.doctor.context import OK, WARNING
from neod.kernel import probe

MANAGERS: Final = {
    "systemd-network": "tell systemd-networkd to leave foreign rules and routes alone: etc/opt-out/networkd-neo.conf",
    "NetworkManager": "tell NetworkManager to leave neo's links alone: etc/opt-out/NetworkManager-neo.conf",
    "dhcpcd": "tell dhcpcd to leave neo's links alone: etc/opt-out/dhcpcd-neo.conf",
    "dhclient": "stop dhclient on links whose address neod leases",
    "connmand": "blacklist neo's links in /etc/connman/main.conf",
    "firewalld": "let firewalld accept what is forwarded: its policies drop it by default",
    "dockerd": "mind that Docker sets the policy of FORWARD to DROP: accept what neo translates in DOCKER-USER",
    "mptcpd": "stop mptcpd: two path managers undo each other's work",
}


def managers() -> Iterator[ProbeRow]:
    """Yield who else manages the network of this host."""
    running = probe.programs()
    found = [name for name in MANAGERS if name in running]
    for name in found:
        yield ProbeRow("other managers", WARNING, f"{name} runs (pid {running[name]})", MANAGERS[name])
    if not found:
        yield ProbeRow("other managers", OK, "none of those that are known")
