"""The look at the host, on a real one: who listens with which program, addresses, routes, marks."""

import errno
import os
import socket
from contextlib import closing
from ipaddress import ip_address

import pytest
from tests.lab.netns import namespace, run

from neod.config.host import host_view, thorough_warnings
from neod.config.load import load
from neod.kernel import host_view as kernel_host_view
from neod.kernel.host_view import listed_marks
from neod.netlink.netns import NAMED, in_netns

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
FILE = """[uplinks.eth0]
table = 100
[uplinks.eth1]
table = 101
[forwards.p]
ports = [22]
to = "198.51.100.10"
[forwards.six]
ports = [22]
to = "192.0.2.7"
protocol = "udp"
"""


def test_the_host_is_seen_as_it_is(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text(FILE)
    intents = load(file, {})
    with namespace("host") as ns:
        script = """set -e; ip link add eth0 type veth peer name x; ip link set eth0 up
            ip addr add 192.0.2.2/24 dev eth0
            sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1
            ip rule add fwmark 0x80000/0xff0000 lookup 52 priority 5210; ip rule add fwmark 1 protocol 110 priority 3
            nft add table inet w; nft add chain inet w c
            nft add rule inet w c meta mark set meta mark and 0xff0fffff or 0x00300000"""
        run("ip", "netns", "exec", ns, "sh", "-c", script)

        def look():
            with closing(socket.create_server(("::", 22), family=socket.AF_INET6, dualstack_ipv6=True)):
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                with closing(udp):
                    udp.bind(("192.0.2.2", 22))
                    return host_view(intents), tuple(listed_marks()), thorough_warnings(intents)

        view, marks, warnings = in_netns(NAMED / ns, look)
    assert {(one.protocol, one.port, str(one.ip), one.both) for one in view.listeners} == {
        ("tcp", 22, "::", True),
        ("udp", 22, "192.0.2.2", False),
    }
    assert {f"[{os.getpid()}]" in name for name in view.programs.values()} == {True}
    assert view.addresses[ip_address("192.0.2.2")] == "eth0"
    assert view.strict == {"eth0"}
    assert view.unreachable == {ip_address("198.51.100.10")}
    assert [(one.who, one.bits) for one in view.marks] == [("ip rule 5210", 0xFF0000)]
    assert [(one.who, one.bits) for one in marks] == [("nft inet w c", 0xF00000)]
    text = "\n".join(warnings)
    for told in (
        "tcp/22 (",
        "udp/22 (",
        "no route to 198.51.100.10",
        "ip rule 5210",
        "nft inet w c",
        "rp_filter of eth0",
    ):
        assert told in text, told


READS = {"host_addresses": "addresses", "marks_of_rules": "marks", "listening": "listeners"}


@pytest.mark.parametrize("lost", READS)
def test_what_cannot_be_read_hides_nothing_else(monkeypatch, lost):
    def refuse():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def look():
        with closing(socket.create_server(("0.0.0.0", 443))):
            whole = kernel_host_view.look(())
            monkeypatch.setattr(kernel_host_view, lost, refuse)
            return whole, kernel_host_view.look(())

    with namespace("host") as ns:
        run("ip", "-n", ns, "link", "set", "lo", "up")
        run("ip", "-n", ns, "rule", "add", "fwmark", "0x80000/0xff0000", "lookup", "52")
        whole, less = in_netns(NAMED / ns, look)
    for function, field in READS.items():
        assert getattr(whole, field)
        assert bool(getattr(less, field)) == (function != lost)
