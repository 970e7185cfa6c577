"""Attributes, packed and read, also from bytes that nobody should send."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nla

from neod.netlink.attributes import (
    BE32,
    U16,
    U64,
    attr,
    attr_text,
    attr_u32,
    attrs,
    inner,
    ip,
    mac_bytes,
    mac_text,
    nest,
    number,
    string,
    text,
    u32,
)

TYPES = st.integers(0, 0x3FFF)
VALUES = st.dictionaries(TYPES, st.binary(max_size=40), max_size=10)


@given(VALUES)
def test_attributes_are_read_back_as_packed(values):
    data = memoryview(b"".join(attr(type_, value) for type_, value in values.items()))
    assert {type_: bytes(value) for type_, value in attrs(data).items()} == values
    assert {type_: bytes(value) for type_, value in attrs(memoryview(b"12345678" + data), 8).items()} == values


@given(st.binary(max_size=120), st.integers(0, 130))
def test_no_bytes_are_too_strange_and_no_value_reaches_beyond_them(data, offset):
    found = attrs(memoryview(data), offset)
    assert sum(4 + len(value) for value in found.values()) <= max(0, len(data) - offset)
    for type_ in [*found, 1]:
        assert number(found, type_, U64, 7) >= 0
        string(found, type_)
        inner(found, type_)


@pytest.mark.parametrize("length", [0, 3, 13, 0xFFFF])
def test_a_length_that_does_not_fit_ends_the_reading(length):
    wrong = struct.pack("=HH", length, 2) + bytes(8)
    assert list(attrs(memoryview(attr_u32(1, 5) + wrong))) == [1]


def test_flags_of_the_type_are_no_part_of_it_and_the_last_of_a_type_wins():
    data = memoryview(attr_u32(5 | 0x8000, 1) + attr_u32(5 | 0x4000, 2))
    assert {type_: u32(value) for type_, value in attrs(data).items()} == {5: 2}


def test_values_are_what_was_packed():
    found = attrs(memoryview(attr_u32(1, 70000) + attr_text(2, "eth0") + nest(3, [attr_u32(4, 9)])))
    assert (number(found, 1), string(found, 2), number(inner(found, 3), 4)) == (70000, "eth0", 9)
    assert (number(found, 1, BE32), number(found, 1, U16)) == tuple(
        struct.unpack(form, struct.pack("=I", 70000)[:size])[0] for form, size in ((">I", 4), ("=H", 2))
    )


def test_what_is_absent_or_too_short_has_its_default():
    found = attrs(memoryview(attr(1, b"\1\2\3")))
    assert (number(found, 1), number(found, 1, default=-1), number(found, 9, default=5)) == (0, -1, 5)
    assert (string(found, 9), inner(found, 9)) == ("", {})


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_read_by_its_length(address):
    assert ip(memoryview(ip_address(address).packed)) == ip_address(address)


def test_a_mac_and_a_name_are_what_people_write():
    assert mac_text(memoryview(mac_bytes("02:00:5e:10:00:01"))) == "02:00:5e:10:00:01"
    assert (mac_text(memoryview(b"")), text(memoryview(b"eth0\0\xff"))) == ("", "eth0")


class Judge(nla):
    """What pyroute2 reads of attributes of every kind that we pack."""

    nla_map = (
        ("A_NONE", "none"),
        ("A_NUMBER", "uint32"),
        ("A_NAME", "asciiz"),
        ("A_NEST", "inside"),
        ("A_RAW", "cdata"),
    )

    class inside(nla):
        nla_map = (("B_NONE", "none"), ("B_NUMBER", "uint32"))


@given(st.integers(0, 2**32 - 1), st.text("abcxyz0189.-", min_size=1, max_size=15), st.binary(min_size=1, max_size=9))
def test_pyroute2_reads_what_we_pack(value, name, raw):
    data = attr_u32(1, value) + attr_text(2, name) + nest(3, [attr_u32(1, value)]) + attr(4, raw)
    judge = Judge(struct.pack("=HH", 4 + len(data), 1) + data)
    judge.decode()
    told = judge.get_attr("A_NUMBER"), judge.get_attr("A_NAME"), judge.get_attr("A_RAW")
    assert told == (value, name, raw)
    assert judge.get_attr("A_NEST").get_attr("B_NUMBER") == value
