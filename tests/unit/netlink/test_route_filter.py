"""The filter program, run by an interpreter of the few instructions that it uses."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.scripted_socket import HEADER

from neod.netlink.attributes import attr, attr_u32
from neod.netlink.route_filter import NLATTR, RTA_TABLE, route_filter, runs
from neod.netlink.rtnetlink import RTM_DELROUTE, RTM_NEWLINK, RTM_NEWROUTE, RTM_NEWRULE, RTMSG

OURS, OWN_PORT = 110, 4711
KERNEL = 2
TABLES = [*range(1, 5), 300, 301, 70000]


def attribute(packet, start, type_):
    """Do what the kernel's SKF_AD_NLATTR does."""
    while start + 4 <= len(packet):
        length, found = struct.unpack_from("=HH", packet, start)
        if found == type_ or length < 4:
            return start if found == type_ else 0
        start += (length + 3) & ~3
    return 0


def passes(program, packet):
    """Run *program* on *packet*."""
    code = list(struct.iter_unpack("=HBBI", program))
    a = x = at = 0
    memory = [0] * 16
    while True:
        op, jt, jf, k = code[at]
        at += 1
        match op:
            case 0x20 if k == NLATTR:
                a = attribute(packet, a, x)
            case 0x20:
                a = int.from_bytes(packet[k : k + 4], "big")
            case 0x28:
                a = int.from_bytes(packet[k : k + 2], "big")
            case 0x30:
                a = packet[k]
            case 0x50:
                a = packet[x + k]
            case 0x00:
                a = k
            case 0x01:
                x = k
            case 0x61:
                x = memory[k]
            case 0x02:
                memory[k] = a
            case 0x64:
                a = a << k & 0xFFFFFFFF
            case 0x4C:
                a |= x
            case 0x15:
                at += jt if a == k else jf
            case 0x35:
                at += jt if a >= k else jf
            case 0x05:
                at += k
            case 0x06:
                return bool(k)
            case _:
                raise AssertionError(f"unknown instruction {op:#x}")


def route(type_=RTM_NEWROUTE, *, table=254, protocol=3, dst_len=8, port=1):
    body = RTMSG.pack(2, dst_len, 0, 0, table if table < 256 else 252, protocol, 0, 1, 0)
    body += attr(1, bytes((10, 0, 0, 0))) + attr_u32(RTA_TABLE, table)
    return HEADER.pack(16 + len(body), type_, 0, 0, port) + body


PROGRAM = route_filter(OURS, TABLES, OWN_PORT)


@given(
    st.sampled_from([RTM_NEWROUTE, RTM_DELROUTE]),
    st.one_of(st.sampled_from(TABLES), st.integers(1, 400), st.integers(1, 2**32 - 1)),
    st.sampled_from([OURS, KERNEL, 3, 186]),
    st.sampled_from([0, 1, 2, 8, 32]),
)
def test_of_routes_those_pass_that_can_concern_us(type_, table, protocol, dst_len):
    kernels = protocol == KERNEL and type_ == RTM_DELROUTE
    concerns = table in TABLES or protocol == OURS or dst_len < 2 or kernels
    assert passes(PROGRAM, route(type_, table=table, protocol=protocol, dst_len=dst_len)) == concerns


@pytest.mark.parametrize("type_", [RTM_NEWLINK, RTM_NEWRULE, 80])
def test_all_else_passes_but_for_what_we_did_ourselves(type_):
    assert passes(PROGRAM, route(type_))
    assert not passes(PROGRAM, route(type_, port=OWN_PORT))
    assert not passes(PROGRAM, route(table=300, port=OWN_PORT))


def test_a_wide_table_without_its_attribute_is_not_ours():
    body = RTMSG.pack(2, 8, 0, 0, 252, 3, 0, 1, 0)
    assert not passes(PROGRAM, HEADER.pack(16 + len(body), RTM_NEWROUTE, 0, 0, 1) + body)


@given(st.lists(st.integers(0, 300)))
def test_runs_cover_just_what_is_in_them(tables):
    found = runs(tables)
    assert {table for low, high in found for table in range(low, high + 1)} == set(tables)
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(found))


def test_a_thousand_neighbouring_tables_fit_into_a_program():
    assert len(route_filter(OURS, range(300, 1300), OWN_PORT)) // 8 < 4096
