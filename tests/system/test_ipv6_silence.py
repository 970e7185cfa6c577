"""Links of neod's own have no IPv6 unless the file says otherwise: a router advertisement changes nothing."""

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from tests.lab import netns, poll, rtnl
from tests.lab.advertising import ALL_NODES, PREFIX, advertising
from tests.lab.campus import NIC_MAC, Campus
from tests.lab.netns import inside, run
from tests.lab.rtnl import Rtnl

pytestmark = pytest.mark.kernel

ETH_P_ALL, ETH_P_IPV6 = 3, 0x86DD


@contextlib.contextmanager
def frames(ns: str, link: str) -> Iterator[socket.socket]:
    """Keep the frames that pass *link*."""
    with inside(ns):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        tap.bind((link, ETH_P_ALL))
    tap.setblocking(False)
    with tap:
        yield tap


def senders(tap: socket.socket) -> set[str]:
    """Return who sent IPv6 from the host's side since the last call."""
    found = set()
    while True:
        try:
            frame, (_, protocol, kind, _, _) = tap.recvfrom(64)
        except BlockingIOError:
            return found
        if protocol == ETH_P_IPV6 and kind != socket.PACKET_OUTGOING:
            found.add(frame[6:12].hex(":"))


def addresses(ns: str, link: str) -> str:
    return netns.ip(ns, "-6", "-o", "address", "show", "dev", link)


def index_of(ns: str, link: str) -> int:
    with inside(ns):
        return socket.if_nametoindex(link)


def defaults(ns: str) -> set[str]:
    """Return the links of the IPv6 default routes in ``main``."""
    return {line.split(" dev ")[1].split()[0] for line in netns.ip(ns, "-6", "route", "show", "default").splitlines()}


def sysctl(ns: str, name: str, value: int) -> None:
    run("ip", "netns", "exec", ns, "sysctl", "-qw", f"{name}={value}")


@pytest.fixture
def campus(new_campus) -> Campus:
    return new_campus(3, quiet=True)


def start(campus: Campus, more: str = "") -> None:
    campus.host.write_config(campus.file(more=more))
    campus.host.start_neod()
    campus.host.wait()


@pytest.mark.parametrize("accept_ra", [1, 2])
def test_advertisement_gives_own_links_nothing_from_their_first_moment_on(campus, accept_ra):
    host = campus.host
    sysctl(host.ns, "net.ipv6.conf.default.accept_ra", accept_ra)
    with (
        advertising(campus.lan, "lan0"),
        frames(campus.lan, "port0") as tap,
        Rtnl(host.ns, (rtnl.GROUP_ADDR6,)) as events,
    ):
        poll(lambda: defaults(host.ns) == {host.nic}, 5, why="the NIC takes the advertisement, as before neod")
        start(campus, '[links.br7]\nkind = "bridge"\n')
        assert [addresses(host.ns, link) for link in (*campus.names(), "br7")] == [""] * 4
        assert defaults(host.ns) == {host.nic}
        assert PREFIX in addresses(host.ns, host.nic)
        run("ip", "netns", "exec", host.ns, "ping", "-6", "-c", "1", f"{ALL_NODES}%{host.nic}")
        assert senders(tap) == {NIC_MAC}
        assert {struct.unpack_from("=I", body, 4)[0] for _, _, body in events.events()} <= {index_of(host.ns, host.nic)}


def test_host_whose_nic_has_ipv6_off_is_not_on_ipv6_by_a_macvlan(campus):
    host = campus.host
    sysctl(host.ns, f"net.ipv6.conf.{host.nic}.disable_ipv6", 1)
    with advertising(campus.lan, "lan0"), frames(campus.lan, "port0") as tap:
        start(campus)
        assert defaults(host.ns) == set()
        assert senders(tap) == set()


def test_ipv6_that_another_program_turns_on_goes_with_all_that_it_brought(campus):
    host = campus.host
    with advertising(campus.lan, "lan0"):
        start(campus)
        sysctl(host.ns, "net.ipv6.conf.neo2.disable_ipv6", 0)
        poll(lambda: host.sysctl("ipv6/conf/neo2/disable_ipv6") == "1", 5, why="repaired")
        poll(lambda: not addresses(host.ns, "neo2"), 5, why="no address is left")
        assert "neo2" not in defaults(host.ns)


def test_link_that_is_deleted_or_set_down_comes_back_silent(campus):
    host = campus.host
    with advertising(campus.lan, "lan0"), frames(campus.lan, "port0") as tap:
        start(campus)
        sysctl(host.ns, "net.ipv6.conf.neo1.disable_ipv6", 0)
        host.ip("link", "del", "neo1")
        host.ip("link", "set", "neo3", "down")
        campus.wait_converged()
        host.wait()
        assert [addresses(host.ns, link) for link in campus.names()] == [""] * 3
        macs = {link.mac for link in host.look().links if link.name in ("neo2", "neo3")}
        assert not macs & senders(tap)


def test_file_that_says_follow_leaves_ipv6_to_the_kernel_and_off_takes_it_away_again(campus):
    host = campus.host
    with advertising(campus.lan, "lan0"):
        start(campus)
        host.write_config(campus.file(more='ipv6 = "follow"\noverride.neo2.ipv6 = "off"\n'))
        assert host.ctl("reload").status == 0
        poll(lambda: defaults(host.ns) == {host.nic, "neo1", "neo3"}, 10, why="two macvlans take the advertisement")
        assert addresses(host.ns, "neo2") == ""
        host.write_config(campus.file())
        assert host.ctl("reload").status == 0
        poll(lambda: defaults(host.ns) == {host.nic}, 5, why="their routes are gone")
        assert [addresses(host.ns, link) for link in campus.names()] == [""] * 3


@pytest.mark.parametrize("subnet", ["10.254.0.0/30", "fd00:254::/126"])
def test_advertisement_from_inside_a_namespace_chooses_no_route_of_the_host(campus, subnet):
    host, inner = campus.host, f"{campus.host.ns}-in"
    start(campus, f'[namespaces.{inner}]\nuplink = "{host.nic}"\nsubnet = "{subnet}"\n')
    try:
        (outside,) = (link.name for link in host.look().owned().links if link.kind == "veth")
        assert bool(addresses(host.ns, outside)) == (":" in subnet)
        netns.ip(inner, "-6", "address", "add", "fe80::1/64", "dev", "eth0", "nodad")
        with advertising(inner, "eth0"):
            host.ctl("apply")
            assert outside not in defaults(host.ns)
            assert PREFIX not in addresses(host.ns, outside)
    finally:
        netns.delete(inner)


def test_link_of_the_file_that_is_an_uplink_too_keeps_its_ipv6(campus):
    host = campus.host
    more = '[links.br7]\nkind = "bridge"\n[links.br8]\nkind = "bridge"\nipv6 = "follow"\n[uplinks.br7]\ntable = 77\n'
    host.write_config(campus.file(more=more))
    host.start_neod()
    host.ready()
    assert [host.sysctl(f"ipv6/conf/{link}/disable_ipv6") for link in ("br7", "br8", "neo1")] == ["0", "0", "1"]
