"""What an ACK is taken to grant."""

from ipaddress import IPv4Address
from random import Random

import pytest
from tests.doubles.dhcp_messages import address, answer

from neod.dhcp.lease_from_ack import lease_from
from neod.dhcp.packet import ACK, decode


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
        pytest.param("10.78.0.1", None, id="off the subnet"),
        pytest.param("10.78.0.1 10.77.0.9", "10.77.0.9", id="the first on the subnet"),
        pytest.param("10.77.1.5", None, id="the client itself"),
        pytest.param("0.0.0.0", None, id="nobody"),
        pytest.param(None, None, id="left out"),
    ],
)
def test_a_gateway_is_on_the_subnet_or_there_is_none(routers, gateway):
    value = routers and b"".join(address(router) for router in routers.split())
    lease = granted(o3=value)
    assert (lease.gateway and str(lease.gateway)) == gateway


@pytest.mark.parametrize(
    ("ip", "mask", "length"),
    [
        pytest.param("10.77.1.5", "255.255.255.0", 24, id="the server's"),
        pytest.param("10.77.1.5", "255.255.255.255", 32, id="a host"),
        pytest.param("10.77.1.5", "128.0.0.0", 1, id="half the world"),
        pytest.param("10.77.1.5", None, 8, id="left out, class A"),
        pytest.param("172.20.1.5", None, 16, id="left out, class B"),
        pytest.param("192.168.1.5", None, 24, id="left out, class C"),
        pytest.param("192.168.1.5", "255.0.255.0", 24, id="with a hole"),
        pytest.param("192.168.1.5", "0.0.0.0", 24, id="zero"),
    ],
)
def test_a_mask_that_cannot_be_is_replaced(ip, mask, length):
    assert granted(ip=ip, o1=mask and address(mask)).prefix_length == length


def test_a_renewal_without_a_mask_keeps_the_old_one():
    assert granted(before=granted(), o1=None).prefix_length == 16
    assert granted(before=granted(), ip="192.168.1.5", o1=None).prefix_length == 24, "another address, another subnet"


@pytest.mark.parametrize(("mtu", "kept"), [(1500, 1500), (9000, 9000), (576, 576), (575, None), (68, None), (0, None)])
def test_an_mtu_too_small_to_use_is_ignored(mtu, kept):
    assert granted(o26=mtu.to_bytes(2, "big")).mtu == kept


def test_classless_routes_are_data_and_their_default_only_replaces_a_missing_router():
    routes = b"\x00" + address("10.77.0.7") + b"\x10\xc0\xa8" + address("10.77.0.8")
    lease = granted(o121=routes)
    assert lease.routes == (("0.0.0.0/0", IPv4Address("10.77.0.7")), ("192.168.0.0/16", IPv4Address("10.77.0.8")))
    assert str(lease.gateway) == "10.77.0.1"
    assert str(granted(o3=None, o121=routes).gateway) == "10.77.0.7"
