"""What an ACK is taken to grant."""

from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.dhcp_messages import IP, SERVER, address, answer, message, tlv

from neod.dhcp.lease_from_ack import lease_from
from neod.dhcp.packet import ACK, OFFER, decode


def granted(before=None, ip=None, **options):
    more = {} if ip is None else {"ip": int(IPv4Address(ip))}
    return lease_from("m1", decode(answer(ACK, **more, **options)), 100.0, before, Random(1))


def test_a_usual_ack_is_a_lease():
    lease = granted(o6=address("10.0.0.53"), o15=b"campus.example", o26=b"\x05\xdc")
    assert (lease.link, str(lease.ip), lease.prefix_length, str(lease.gateway)) == ("m1", "10.77.1.5", 16, "10.77.0.1")
    assert (lease.dns, lease.domain, lease.mtu) == ((IPv4Address("10.0.0.53"),), "campus.example", 1500)
    assert (lease.bound_at, lease.expires_at) == (100.0, 3700.0)
    assert lease.bound_at < lease.renew_at < lease.rebind_at < lease.expires_at


@pytest.mark.parametrize(
    ("routers", "gateway"),
    [
        pytest.param("10.77.0.1", "10.77.0.1", id="on the subnet"),
        pytest.param("10.78.0.1", "10.78.0.1", id="off the subnet: it is on the link"),
        pytest.param("10.78.0.1 10.77.0.9 10.77.0.1", "10.77.0.9", id="the first on the subnet"),
        pytest.param("10.77.1.5 10.77.0.9", "10.77.0.9", id="the first that can be one"),
        pytest.param(None, None, id="left out"),
    ],
)
def test_the_gateway_is_the_first_router_on_the_subnet_else_the_first(routers, gateway):
    lease = granted(o3=routers and b"".join(address(router) for router in routers.split()))
    left_out = [router for router in (routers or "").split() if router in NO_ROUTERS]
    assert ((lease.gateway and str(lease.gateway)), lease.no_router) == (gateway, "")
    assert lease.left_out == tuple(f"option 3 (router): {router} {NO_ROUTERS[router]}" for router in left_out)


NO_ROUTERS = {
    "10.77.1.5": "is the address itself",
    "0.0.0.0": "is no usable address",
    "127.0.0.1": "is a loopback address",
    "224.0.0.1": "is a multicast address",
    "255.255.255.255": "is the broadcast address",
    "240.0.0.1": "is no usable address",
    "10.77.0.0": "is the network address of 10.77.0.0/16",
    "10.77.255.255": "is the broadcast address of 10.77.0.0/16",
}


@pytest.mark.parametrize(("router", "why"), NO_ROUTERS.items())
def test_a_router_that_cannot_be_one_is_none_and_the_reason_is_kept(router, why):
    lease = granted(o3=address(router))
    assert (lease.gateway, lease.no_router) == (None, f"{router} {why}")
    assert lease.left_out == (f"option 3 (router): {router} {why}",)


@pytest.mark.parametrize(("router", "why"), [one for one in NO_ROUTERS.items() if one[0] != "0.0.0.0"])
def test_nor_is_it_one_in_a_classless_route(router, why):
    lease = granted(o121=b"\x00" + address(router) + b"\x10\xc0\xa8" + address("10.77.0.8"))
    assert (lease.gateway, lease.no_router) == (None, f"{router} {why}"), "option 3 is ignored all the same"
    assert lease.routes == (("192.168.0.0/16", IPv4Address("10.77.0.8")),)


def test_the_ends_of_a_subnet_of_two_are_hosts():
    assert str(granted(ip="10.77.1.5", o1=address("255.255.255.254"), o3=address("10.77.1.4")).gateway) == "10.77.1.4"


@pytest.mark.parametrize("gateway", ["0.0.0.0", "10.77.1.5"])
def test_a_classless_route_on_the_link_stays_one(gateway):
    routes = b"\x20" + address("172.31.1.1") + address(gateway) + b"\x00" + address("172.31.1.1")
    lease = granted(o1=address("255.255.255.255"), o121=routes)
    assert (str(lease.gateway), lease.routes[0]) == ("172.31.1.1", ("172.31.1.1/32", IPv4Address(gateway)))
    assert not lease.left_out


@pytest.mark.parametrize("destination", [b"\x20" + address("224.0.0.9"), b"\x20\x7f\0\0\1", b"\x18\xf0\0\0"])
def test_a_classless_route_to_what_is_no_host_does_not_cost_the_others(destination):
    lease = granted(o121=destination + address("10.77.0.9") + b"\x00" + address("10.77.0.1"))
    assert (str(lease.gateway), len(lease.routes), len(lease.left_out)) == ("10.77.0.1", 1, 1)


@pytest.mark.parametrize(
    ("ip", "mask", "length"),
    [
        pytest.param("10.77.1.5", "255.255.255.0", 24, id="the server's"),
        pytest.param("10.77.1.5", "255.255.255.255", 32, id="a host"),
        pytest.param("10.77.1.5", "255.0.0.0", 8, id="the largest class"),
        pytest.param("172.20.1.5", "128.0.0.0", 16, id="half the world"),
        pytest.param("172.20.1.5", "254.0.0.0", 16, id="larger than any class"),
        pytest.param("10.77.1.5", None, 8, id="left out, class A"),
        pytest.param("172.20.1.5", None, 16, id="left out, class B"),
        pytest.param("192.168.1.5", None, 24, id="left out, class C"),
        pytest.param("192.168.1.5", "255.0.255.0", 24, id="with a hole"),
        pytest.param("192.168.1.5", "0.0.0.0", 24, id="zero"),
    ],
)
def test_a_mask_that_cannot_be_is_replaced(ip, mask, length):
    assert granted(ip=ip, o1=mask and address(mask)).prefix_length == length


FULL = {
    "o6": address("10.0.0.53"),
    "o15": b"campus.example",
    "o26": (1400).to_bytes(2, "big"),
    "o1": address("255.255.255.255"),
    "o3": address("10.78.0.1"),
}
KEPT = ("prefix_length", "gateway", "dns", "domain", "mtu", "routes", "no_router")


def of(lease):
    return [getattr(lease, name) for name in KEPT]


@pytest.mark.parametrize("said", [{}, {"o121": b"\x00" + address("10.78.0.9")}, {"o3": address("127.0.0.1")}])
@pytest.mark.parametrize("again", [None, b"", b"\1\2\3"], ids=["left out", "empty", "three bytes"])
def test_a_renewal_keeps_what_it_does_not_repeat_or_repeats_malformed(said, again):
    before = granted(**FULL | said)
    after = granted(before=before, o1=again, o3=again, o6=again, o15=again and b"\n", o26=again, o121=again)
    assert of(after) == of(before)
    assert of(granted(before=before, ip="192.168.1.5", o1=None, o3=None))[0] == 24, "another address, another lease"


def test_what_a_renewal_does_repeat_counts():
    before = granted(**FULL, o121=b"\x00" + address("10.78.0.9"))
    after = granted(before=before, o1=address("255.0.0.0"), o3=address("10.77.0.3"), o26=b"\x05\xdc")
    assert (after.prefix_length, str(after.gateway), after.routes, after.mtu) == (8, "10.77.0.3", (), 1500)


def test_a_renewal_with_a_router_that_cannot_be_one_keeps_the_old_one():
    after = granted(before=granted(**FULL), o1=None, o3=address("10.77.1.5"))
    assert (str(after.gateway), after.no_router, len(after.left_out)) == ("10.78.0.1", "", 1)


@pytest.mark.parametrize(("mtu", "kept"), [(1500, 1500), (9000, 9000), (576, 576), (575, None), (68, None), (0, None)])
def test_an_mtu_too_small_to_use_is_ignored(mtu, kept):
    assert granted(o26=mtu.to_bytes(2, "big")).mtu == kept


def test_an_mtu_that_is_not_believed_is_named():
    assert granted(o26=(300).to_bytes(2, "big")).left_out == ("option 26 (MTU): 300, less than 576",)


def test_with_classless_routes_the_router_does_not_count():
    """RFC 3442: the client MUST ignore the Router option."""
    routes = b"\x00" + address("10.77.0.7") + b"\x10\xc0\xa8" + address("10.77.0.8")
    lease = granted(o121=routes)
    assert lease.routes == (("0.0.0.0/0", IPv4Address("10.77.0.7")), ("192.168.0.0/16", IPv4Address("10.77.0.8")))
    assert str(lease.gateway) == "10.77.0.7"
    assert granted(o121=routes[5:]).gateway is None
    assert str(granted(o121=routes[:-1]).gateway) == "10.77.0.1", "malformed, it is as if it were not there"


OPTIONAL = st.sampled_from([0, 1, 3, 6, 12, 15, 26, 28, 33, 43, 50, 52, 55, 56, 57, 58, 59, 77, 119, 121, 249, 254])
CODE_AND_VALUE = st.tuples(OPTIONAL, st.binary(max_size=40))
NEEDED = b"".join((tlv(54, address("10.77.0.1")), tlv(51, b"\0\0\x0e\x10")))


@given(st.lists(CODE_AND_VALUE, max_size=8), st.sampled_from([OFFER, ACK]), st.binary(max_size=3), st.booleans())
def test_no_optional_option_ever_costs_the_lease(options, kind, tail, overloads):
    """Whatever its value, and however the message ends."""
    junk = b"".join(bytes((code,)) if code == 0 else tlv(code, value) for code, value in options)
    head = tlv(53, bytes((kind,))) + NEEDED
    if overloads:
        data = message(head + tlv(52, b"\x01") + b"\xff", file=junk[:128], sname=tail)
    else:
        data = message(head + junk + tail)
    reply = decode(data)
    lease = lease_from("m1", reply, 100.0, None, Random(1))
    assert (reply.type, int(lease.ip), int(lease.server), lease.expires_at) == (kind, IP, SERVER, 3700.0)
    assert 100.0 < lease.renew_at < lease.rebind_at < lease.expires_at
    assert 8 <= lease.prefix_length <= 32
    assert lease.gateway is None or (lease.gateway != lease.ip and not lease.gateway.is_loopback)
    again = lease_from("m1", decode(answer(ACK, o1=None, o3=None)), 200.0, lease, Random(1))
    assert (again.gateway, again.routes, again.mtu, again.dns) == (lease.gateway, lease.routes, lease.mtu, lease.dns)


@pytest.mark.parametrize(
    ("lease_s", "t1", "t2", "ends"),
    [
        (3600, 3000, 2000, 3600),
        (3600, 9000, 9999, 3600),
        (0, 5, 6, 600),
        (None, None, None, 600),
        (0xFFFFFFFF, 1, 2, None),
    ],
)
def test_times_that_contradict_each_other_are_put_right(lease_s, t1, t2, ends):
    said = {
        f"o{code}": None if value is None else value.to_bytes(4, "big")
        for code, value in ((51, lease_s), (58, t1), (59, t2))
    }
    lease = granted(**said)
    assert lease.expires_at == (float("inf") if ends is None else 100.0 + ends)
    assert lease.renew_at < lease.rebind_at < lease.expires_at or ends is None
