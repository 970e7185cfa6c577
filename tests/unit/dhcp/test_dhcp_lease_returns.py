"""RELEASE as a server sees it."""

from dataclasses import replace
from ipaddress import IPv4Address

from tests.doubles.dhcp_messages import IP, MAC, SERVER, SERVER_MAC

from neod.dhcp.frame import BROADCAST_MAC
from neod.dhcp.lease_returns import release_frame
from neod.dhcp.store import StoredLease
from neod.model.facts import Lease

LEASE = Lease("m1", IPv4Address(IP), 16, None, IPv4Address(SERVER), 0, 1, 2, 3)
RECORD = StoredLease(LEASE, MAC.hex(":"), SERVER_MAC.hex(":"))


def test_a_release_goes_from_the_address_to_its_server_alone():
    frame = release_frame(RECORD, 7)
    assert frame[:12] == SERVER_MAC + MAC
    assert frame[26:34] == IP.to_bytes(4, "big") + SERVER.to_bytes(4, "big")
    payload = frame[42:]
    assert payload[12:16] == IP.to_bytes(4, "big"), "ciaddr"
    assert payload[28:34] == MAC
    options = payload[240:]
    assert options.startswith(b"\x35\x01\x07\x3d\x07\x01" + MAC + b"\x36\x04" + SERVER.to_bytes(4, "big") + b"\xff")


def test_without_a_known_mac_it_is_for_whoever_has_the_servers_address():
    frame = release_frame(replace(RECORD, server_mac=""), 7)
    assert frame[:6] == BROADCAST_MAC
    assert frame[30:34] == SERVER.to_bytes(4, "big")
