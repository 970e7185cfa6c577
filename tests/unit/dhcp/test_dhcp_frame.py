"""Frames: built as the RFCs say, and taken apart only if intact."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.dhcp_messages import IP, MAC, SERVER, SERVER_MAC, answer, datagram, ones_complement

from neod.dhcp import frame
from neod.dhcp.frame import BROADCAST_IP, BROADCAST_MAC, dhcp_at, parse_arp, udp_frame

PAYLOAD = answer(5)


@given(st.binary(max_size=600), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_checksums_of_what_is_sent_are_right(payload, src, dst):
    sent = udp_frame(BROADCAST_MAC, MAC, src, dst, payload)
    length = len(payload) + 8
    assert ones_complement(sent[14:34]) == 0
    assert ones_complement(struct.pack("!IIBBH", src, dst, 0, 17, length) + sent[34:]) == 0
    assert sent[40:42] != b"\0\0", "0 would mean: no checksum"


def test_a_frame_has_the_headers_of_a_dhcp_client():
    sent = udp_frame(BROADCAST_MAC, MAC, 0, BROADCAST_IP, PAYLOAD)
    assert sent[:14] == BROADCAST_MAC + MAC + b"\x08\x00"
    assert sent[14:16] == b"\x45\x00"
    assert sent[22:24] == b"\x40\x11", "ttl 64, UDP"
    assert sent[34:38] == struct.pack("!HH", 68, 67)
    assert sent[42:] == PAYLOAD


@pytest.mark.parametrize("checksum", [None, "none", "partial"])
@pytest.mark.parametrize("ihl", [5, 6, 15])
@pytest.mark.parametrize("payload", [PAYLOAD, PAYLOAD + b"x"], ids=["even", "odd"])
def test_an_intact_datagram_is_found(checksum, ihl, payload):
    received = datagram(payload, checksum=checksum, ihl=ihl) + b"\0" * 7
    start, end = dhcp_at(received)
    assert received[start:end] == payload


GOOD = datagram(PAYLOAD)
BROKEN = {
    "empty": b"",
    "cut in the IP header": GOOD[:30],
    "cut in the UDP header": GOOD[:40],
    "cut in the payload": GOOD[:200],
    "IPv6": GOOD[:14] + b"\x65" + GOOD[15:],
    "an IP header of 16 bytes": GOOD[:14] + b"\x44" + GOOD[15:],
    "an IP header beyond the frame": GOOD[:14] + b"\x4f" + GOOD[15:44],
    "a wrong IP checksum": GOOD[:24] + bytes((GOOD[24] ^ 1,)) + GOOD[25:],
    "a wrong UDP checksum": datagram(PAYLOAD, checksum=0x1234),
    "a changed payload": GOOD[:100] + bytes((GOOD[100] ^ 1,)) + GOOD[101:],
    "another port": datagram(PAYLOAD, dport=69),
    "TCP": datagram(PAYLOAD, protocol=6),
    "a first fragment": datagram(PAYLOAD, fragment=0x2000),
    "a later fragment": datagram(PAYLOAD, fragment=0x0010),
}


@pytest.mark.parametrize("received", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_intact_is_nothing(received):
    assert dhcp_at(received) is None


@pytest.mark.parametrize("length", [0, 7, 4000])
def test_a_udp_length_that_lies_is_nothing(length):
    assert dhcp_at(GOOD[:38] + struct.pack("!H", length) + b"\0\0" + GOOD[42:]) is None


@given(st.binary(max_size=400))
def test_no_bytes_are_an_error(data):
    dhcp_at(data)
    parse_arp(data)


def test_a_probe_claims_nothing_and_an_announcement_claims_its_address():
    probe = parse_arp(frame.arp_probe(MAC, IP))
    assert (probe.mac, probe.ip, probe.target) == (MAC, 0, IP)
    announcement = parse_arp(frame.arp_announcement(MAC, IP))
    assert (announcement.mac, announcement.ip, announcement.target) == (MAC, IP, IP)


def test_arp_goes_to_everybody_as_a_request():
    sent = frame.arp_probe(MAC, IP)
    assert sent[:14] == BROADCAST_MAC + MAC + b"\x08\x06"
    assert sent[14:22] == struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    assert sent[32:38] == bytes(6), "the hardware address asked for is unknown"


def _arp(dst, op, mac, ip, target_mac, target):
    return dst + mac + b"\x08\x06" + struct.pack("!HHBBH6sI6sI", 1, 0x0800, 6, 4, op, mac, ip, target_mac, target)


def test_an_answer_to_a_probe_is_read():
    assert parse_arp(_arp(MAC, 2, SERVER_MAC, IP, MAC, 0) + bytes(18)) == (SERVER_MAC, IP, MAC, 0)


def test_a_switch_that_asks_one_host_for_its_own_address_claims_nothing():
    assert parse_arp(_arp(MAC, 1, SERVER_MAC, 0, bytes(6), IP)) is None
    assert parse_arp(_arp(BROADCAST_MAC, 1, SERVER_MAC, 0, bytes(6), IP)) is not None


def test_reverse_arp_is_nothing():
    assert parse_arp(_arp(BROADCAST_MAC, 3, SERVER_MAC, SERVER, MAC, IP)) is None
