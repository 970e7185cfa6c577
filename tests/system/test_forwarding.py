"""What is switched on for neo's connections opens nothing else, and others' traffic passes as if neo were not there."""

import itertools
import shutil

import pytest
from tests.lab import netns
from tests.lab.advertising import advertising
from tests.lab.crossing import CONTAINER, INNER, TARGET, Crossing, of
from tests.lab.netns import ip, ip_batch, poll

pytestmark = pytest.mark.kernel

BACKENDS = ("nftables", "iptables")


@pytest.fixture
def crossing(laboratory):
    with Crossing() as made:
        yield made


def forwards(backend, interface="", snat="masquerade", snat6="masquerade"):
    where = f'interface = "{interface}"' if interface else ""
    return f"""
[forwards.web]
ports = [443]
to = "{TARGET}:4430"
snat = "{snat}"
{where}

[forwards.names]
protocol = "udp"
ports = [53]
to = "{TARGET}:5300"
snat = "{snat}"
{where}

[forwards.names6]
protocol = "udp"
ports = [53]
to = "[{of(TARGET, 6)}]:5300"
snat = "{snat6}"
{where}

[nat]
backend = "{backend}"
"""


def namespace(crossing, more=""):
    return f"""
[namespaces."{crossing.inner}"]
uplink = "eth0"
subnet = ["10.254.0.0/24", "fd00:254::/64"]
expose = ["udp/54", "tcp/444"]
{more}
"""


def closed(crossing, version):
    """What a neighbour must not reach through the host, one way or both."""
    pairs = (("outside", of("10.0.0.5", version), "private"), ("private", of("192.0.2.66", version), "outside"))
    return {(source, version): crossing.arrives(source, to, sink) for source, to, sink in pairs}


@pytest.mark.parametrize(
    ("backend", "interface", "snat"),
    [
        ("nftables", "", "masquerade"),
        ("nftables", "eth0", "address"),
        ("iptables", "", "address"),
        ("iptables", "eth0", "masquerade"),
    ],
)
def test_a_relay_with_two_nics_is_no_router_between_them(crossing, backend, interface, snat):
    before = crossing.left()
    own = {} if snat == "masquerade" else {"snat": "192.0.2.2", "snat6": of("192.0.2.2", 6)}
    crossing.start(forwards(backend, interface, **own))
    sides = ("outside", "private") if not interface else ("outside",)
    for side, version in itertools.product(sides, (4, 6)):
        near = of("192.0.2.2" if side == "outside" else "10.0.0.1", version)
        assert crossing.reaches(side, near, 53, "target", 5300), (side, version)
        if version == 4:
            assert crossing.connects(side, near, 443, "target", 4430), side
    assert not any({**closed(crossing, 4), **closed(crossing, 6)}.values())
    assert crossing.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding") == "0\n0\n"
    if interface:
        assert crossing.sh("cat /proc/sys/net/ipv4/conf/eth1/forwarding") == "0\n"
    told = crossing.host.ctl("doctor").out
    assert "eth0" in next(line for line in told.splitlines() if "forwarding:" in line), told
    assert crossing.host.ctl("down").status == 0
    assert crossing.left() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_ports_that_are_not_exposed_are_reached_from_the_host_alone(crossing, backend):
    before = crossing.left()
    crossing.start(f'{namespace(crossing)}[nat]\nbackend = "{backend}"\n')
    for version in (4, 6):
        inner, near = of(INNER, version), of("192.0.2.2", version)
        poll(lambda to=near: crossing.reaches("outside", to, 54, "inner"), 5, why="exposed")
        assert crossing.connects("outside", of("192.0.2.2", version), 444, "inner")
        assert crossing.connects("host", inner, 22, "inner")
        assert crossing.reaches("inner", of("192.0.2.66", version), 99, "outside")
        for source, port in itertools.product(("outside", "private"), (22, 54)):
            assert not crossing.arrives(source, inner, "inner", port), (source, port, version)
    assert not any({**closed(crossing, 4), **closed(crossing, 6)}.values())
    assert crossing.host.ctl("down").status == 0
    assert crossing.left() == before


FOR_ALL = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}


@pytest.mark.parametrize("version", [4, 6])
def test_who_forwards_before_is_not_guarded_until_they_stop_and_who_begins_later_is(crossing, version):
    crossing.sh(f"echo 1 > {FOR_ALL[version]}")
    crossing.start('[nat]\nbackend = "nftables"\n')
    crossing.host.write_config(forwards("nftables"))
    assert crossing.host.ctl("reload").status == 0
    crossing.host.wait()
    assert all(closed(crossing, version).values())
    for value in (0, 1):
        crossing.sh(f"echo {value} > {FOR_ALL[version]}")
        poll(lambda: crossing.reaches("outside", of("192.0.2.2", version), 53, "target", 5300), 5, why="opened by neo")
        assert not any(closed(crossing, version).values()), value


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_forwarded_before_stays_forwarded_and_ports_inside_stay_closed(crossing, backend):
    crossing.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    before = crossing.left()
    crossing.start(forwards(backend) + namespace(crossing))
    assert all({**closed(crossing, 4), **closed(crossing, 6)}.values())
    for source, version in itertools.product(("outside", "private"), (4, 6)):
        assert not crossing.arrives(source, of(INNER, version), "inner"), (source, version)
    assert crossing.host.ctl("down").status == 0
    assert crossing.left() == before


def passes(crossing):
    """What the network of the container lets through."""
    return (
        crossing.reaches("container", "192.0.2.66", 99, "outside"),
        crossing.reaches("outside", "192.0.2.2", 8080, "container", 80),
        crossing.reaches("outside", CONTAINER, 81, "container"),
        crossing.reaches("private", CONTAINER, 81, "container"),
    )


@pytest.mark.parametrize(("backend", "first"), list(itertools.product(BACKENDS, (True, False))))
def test_a_container_network_that_comes_before_or_after_is_as_if_neo_were_not_there(crossing, backend, first):
    text = forwards(backend) + namespace(crossing)
    if first:
        crossing.another_container_network(backend)
        assert passes(crossing) == (True,) * 4
        before = crossing.left()
    crossing.start(text)
    if not first:
        crossing.another_container_network(backend)
    poll(lambda: crossing.reaches("outside", CONTAINER, 81, "container"), 5, why="who routes to it reaches it")
    assert passes(crossing) == (True,) * 4
    assert crossing.reaches("outside", "192.0.2.2", 54, "inner")
    assert not crossing.arrives("outside", INNER, "inner")
    crossing.host.wait()
    assert crossing.host.ctl("down").status == 0
    assert passes(crossing) == (True,) * 4
    if first:
        assert crossing.left() == before
    else:
        assert "neo" not in "".join(crossing.left()[1]).lower()
        assert "ip_forward:1" in crossing.left()[0]


def test_a_network_that_nobody_routes_for_stays_isolated(crossing):
    ip_batch(crossing.ns["host"], ["link add br-i type bridge", "link set br-i up", "addr add 172.31.0.1/24 dev br-i"])
    crossing.start(forwards("nftables", "eth0"))
    ip_batch(crossing.ns["outside"], ["route add 172.31.0.0/24 via 192.0.2.2"])
    assert '"eth0" . "br-i"' in crossing.sh("nft list ruleset")
    assert crossing.sh("cat /proc/sys/net/ipv4/conf/br-i/forwarding") == "0\n"


def test_a_nic_that_comes_later_is_opened_and_guarded_too(crossing):
    ip_batch(crossing.ns["host"], ["link set eth1 down", "addr flush dev eth1"])
    crossing.start(forwards("nftables"))
    ip_batch(crossing.ns["host"], ["link set eth1 up", "addr add 10.0.0.1/24 dev eth1"])
    poll(lambda: crossing.reaches("private", "10.0.0.1", 53, "target", 5300), 10, why="handed on from the later NIC")
    assert not any(closed(crossing, 4).values())


def test_the_last_forward_that_goes_takes_its_switches_along(crossing):
    before = crossing.left()
    crossing.start(forwards("nftables"))
    crossing.host.write_config('[nat]\nbackend = "nftables"\n')
    assert crossing.host.ctl("reload").status == 0
    crossing.host.wait()
    assert crossing.left() == before


def test_a_nic_that_gets_another_name_stays_guarded(crossing):
    crossing.start(forwards("nftables", "eth0"))
    for line in ("link set eth0 down", "link set eth0 name lan0", "link set lan0 up"):
        ip_batch(crossing.ns["host"], [line])
    ip_batch(crossing.ns["host"], [f"addr replace {of('192.0.2.2', 6)}/64 dev lan0 nodad"])
    crossing.host.write_config(forwards("nftables", "lan0"))
    crossing.host.ctl("reload")
    crossing.host.wait()
    assert crossing.reaches("outside", "192.0.2.2", 53, "target", 5300)
    assert not any(closed(crossing, 4).values())


@pytest.mark.parametrize(("backend", "kept"), [("nftables", "state"), ("iptables", "run"), ("nftables", "run")])
def test_what_neo_opened_stays_guarded_and_is_closed_again_whichever_copy_of_its_memory_is_left(
    crossing, backend, kept
):
    before = crossing.left()
    crossing.start(forwards(backend) + namespace(crossing))
    crossing.host.kill9()
    shutil.rmtree(crossing.host.state) if kept == "run" else copy_of_originals(crossing).unlink()
    crossing.start(forwards(backend) + namespace(crossing))
    for version in (4, 6):
        assert crossing.reaches("outside", of("192.0.2.2", version), 53, "target", 5300), version
        assert not any(closed(crossing, version).values())
        assert not crossing.arrives("outside", of(INNER, version), "inner")
    assert "by others" not in crossing.host.ctl("doctor").out
    assert crossing.host.ctl("down").status == 0
    assert crossing.left() == before
    assert not copy_of_originals(crossing).exists()


def copy_of_originals(crossing):
    """Return the copy that does not depend on the state directory."""
    return netns.LOCKS / f"sysctls-{(netns.RUN_NETNS / crossing.ns['host']).stat().st_ino}"


@pytest.mark.parametrize(("backend", "moves"), [("nftables", {"eth0": "lan0"}), ("iptables", {"eth1": "lan1"})])
def test_nics_that_got_other_names_while_neod_was_dead_are_guarded_whoever_forwards_now(crossing, backend, moves):
    crossing.start(forwards(backend))
    crossing.host.kill9()
    renamed(crossing, moves)
    crossing.sh(f"echo 1 > {FOR_ALL[4]}; echo 1 > {FOR_ALL[6]}")
    crossing.start(forwards(backend))
    for version in (4, 6):
        assert crossing.reaches("outside", of("192.0.2.2", version), 53, "target", 5300), version
        assert not any(closed(crossing, version).values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_nics_that_swapped_their_names_while_neod_was_dead_are_told_apart(crossing, backend):
    before = crossing.left()
    crossing.start(forwards(backend, "eth0"))
    crossing.host.kill9()
    renamed(crossing, {"eth0": "eth2", "eth1": "eth0", "eth2": "eth1"})
    crossing.start(forwards(backend))
    for version in (4, 6):
        assert crossing.reaches("private", of("10.0.0.1", version), 53, "target", 5300), version
        assert not any(closed(crossing, version).values())
    assert crossing.host.ctl("down").status == 0
    assert crossing.left() == before


def renamed(crossing, moves):
    """Do what an operator or udev does: down, another name, up, and addresses that went back."""
    host, addresses = crossing.ns["host"], {"eth0": ("192.0.2.2", "eth0"), "eth1": ("10.0.0.1", "eth1")}
    for old, new in moves.items():
        ip_batch(host, [f"link set {old} down", f"link set {old} name {new}", f"link set {new} up"])
        addresses = {nic: (address, new if link == old else link) for nic, (address, link) in addresses.items()}
    for address, link in addresses.values():
        ip_batch(host, [f"addr replace {of(address, 6)}/64 dev {link} nodad"])


def test_what_somebody_switches_on_for_the_host_later_outlives_neo(crossing):
    crossing.start(forwards("nftables", "eth0"))
    crossing.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")
    crossing.host.write_config('[nat]\nbackend = "nftables"\n')
    assert crossing.host.ctl("reload").status == 0
    crossing.host.wait()
    assert all(closed(crossing, 4).values())
    assert crossing.sh("cat /proc/sys/net/ipv4/conf/eth0/forwarding") == "1\n"


def test_the_file_may_make_the_host_a_router_itself(crossing):
    crossing.start(forwards("nftables") + '[sysctl]\n"net.ipv4.ip_forward" = 1\n')
    assert all(closed(crossing, 4).values())
    assert not any(closed(crossing, 6).values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bridge_of_the_host_can_be_the_uplink_of_a_namespace_and_lead_to_a_target(crossing, backend):
    host = crossing.ns["host"]
    ip_batch(host, ["link add br0 type bridge forward_delay 0", "link set br0 up", "addr flush dev eth0"])
    ip_batch(host, ["link set eth0 master br0", "addr add 192.0.2.2/24 dev br0", "addr add fd00:2::2/64 dev br0 nodad"])
    crossing.start(forwards(backend) + namespace(crossing).replace('"eth0"', '"br0"'))
    for version in (4, 6):
        near = of("192.0.2.2", version)
        poll(lambda to=near: crossing.reaches("outside", to, 54, "inner"), 5, why="exposed")
        assert crossing.reaches("private", of("10.0.0.1", version), 53, "target", 5300)
        assert not crossing.arrives("outside", of(INNER, version), "inner", 54)
        assert not any(closed(crossing, version).values())


def test_two_namespaces_do_not_reach_each_others_closed_ports(crossing):
    other = crossing.inner + "b"
    text = namespace(crossing, "masquerade = false") + (
        f'[namespaces."{other}"]\nuplink = "eth1"\nsubnet = "10.254.9.0/30"\nexpose = ["udp/64"]\n'
    )
    try:
        crossing.start(text)
        crossing.ns["other"] = other
        assert not crossing.arrives("other", INNER, "inner", 54)
        assert not crossing.arrives("inner", "10.254.9.2", "other", 64)
        assert crossing.reaches("private", "10.0.0.1", 64, "other")
        assert crossing.reaches("other", "10.0.0.5", 99, "private")
        ip_batch(crossing.ns["outside"], ["route add 10.254.0.0/24 via 192.0.2.2"])
        assert crossing.reaches("inner", "192.0.2.66", 99, "outside")
    finally:
        crossing.host.ctl("down")


def test_a_relay_of_ipv6_keeps_the_default_route_that_came_by_advertisement(crossing):
    host = crossing.ns["host"]
    with advertising(crossing.ns["outside"], "eth0"):
        poll(lambda: "proto ra" in ip(host, "-6", "route", "show", "default"), 10, why="a default route")
        crossing.start(forwards("nftables"))
        assert crossing.reaches("outside", of("192.0.2.2", 6), 53, "target", 5300)
        assert "proto ra" in ip(host, "-6", "route", "show", "default")
        assert crossing.host.ctl("down").status == 0
    assert "proto ra" in ip(host, "-6", "route", "show", "default")


def test_answers_come_in_by_a_nic_that_neod_configures_itself(crossing):
    ip_batch(crossing.ns["host"], ["addr flush dev eth0"])
    uplink = '[uplinks.eth0]\nipv4 = "192.0.2.2/24"\ngateway = "192.0.2.66"\ntable = 100\n'
    crossing.start(uplink + forwards("nftables", "eth1"))
    assert crossing.reaches("private", "10.0.0.1", 53, "target", 5300)
    assert not any(closed(crossing, 4).values())


def test_a_forward_on_an_interface_that_is_not_there_waits_for_nothing(crossing):
    crossing.start(forwards("nftables", "ppp0"))
    host = crossing.ns["host"]
    ip_batch(host, ["link add ppp0 type bridge", "link set ppp0 up"])
    poll(lambda: crossing.sh("cat /proc/sys/net/ipv4/conf/ppp0/forwarding") == "1\n", 5, why="opened once it is there")
