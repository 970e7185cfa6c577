"""Rules of every shape as the kernel reports them: their words, their makers, and whose packets they take."""

from ipaddress import ip_address

import pytest

from neod.kinds.rule import from_wire, to_wire
from neod.kinds.rule_words import rule_seen
from neod.netlink.attributes import attr, attr_u32
from neod.netlink.rtnetlink import RULEHDR

SOURCE, INVERT = ip_address("10.0.0.1"), 2


def rule(*attributes, action=1, flags=0, to=0, length=0, tos=0, priority=102, protocol=110):
    head = RULEHDR.pack(2, to, length, tos, 252, 0, 0, action, flags)
    rest = (attr_u32(15, 500), attr_u32(14, 0xFFFFFFFF), attr(21, bytes([protocol])), attr_u32(6, priority))
    return memoryview(head + b"".join(rest) + b"".join(attributes))


FROM = attr(2, SOURCE.packed)
MARK = attr_u32(10, 0xCA6C) + attr_u32(16, 0xFFFFFFFF)
SHAPES = {  # payload -> words, whether it takes packets from SOURCE, its maker
    "plain": (rule(FROM, length=32), "from 10.0.0.1 lookup 500", True, ""),
    "all": (rule(), "from all lookup 500", True, ""),
    "not": (rule(FROM, length=32, flags=INVERT), "not from 10.0.0.1 lookup 500", False, ""),
    "another": (rule(attr(2, bytes(4)[:3] + b"\x09"), length=32), "from 0.0.0.9 lookup 500", False, ""),
    "to": (rule(attr(1, bytes((10, 0, 0, 0))), to=8), "from all to 10.0.0.0/8 lookup 500", False, ""),
    "mark": (rule(attr_u32(10, 1), attr_u32(16, 0xFF)), "from all fwmark 0x1/0xff lookup 500", False, ""),
    "wg-quick": (rule(attr_u32(15, 0xCA6C), MARK, flags=INVERT),
                 "not from all fwmark 0xca6c lookup 51820", True, "wg-quick"),
    "links": (rule(attr(3, b"d0\0"), attr(17, b"d1\0")), "from all iif d0 oif d1 lookup 500", False, ""),
    "users": (rule(attr(20, bytes((7, 0, 0, 0, 9, 0, 0, 0)))), "from all uidrange 7-9 lookup 500", False, ""),
    "ports": (rule(attr(22, b"\x06"), attr(24, bytes((80, 0, 81, 0)))),
              "from all ipproto 6 dport 80-81 lookup 500", False, ""),
    "tos": (rule(tos=16), "from all tos 0x10 lookup 500", False, ""),
    "goto": (rule(attr_u32(4, 900), action=2), "from all goto 900", True, ""),
    "nop": (rule(action=3), "from all nop", True, ""),
    "blackhole": (rule(action=6), "from all blackhole", True, ""),
    "prohibit by bird": (rule(action=8, protocol=12), "from all prohibit", True, "BIRD"),
    "VRF": (rule(attr(19, b"\x01"), priority=1000), "from all lookup [l3mdev-table]", False, "the VRF"),
    "tailscale": (rule(priority=5270), "from all lookup 500", True, "tailscale"),
    "suppressed": (rule(attr_u32(15, 254), attr_u32(14, 0)),
                   "from all lookup main suppress_prefixlength 0", True, "wg-quick"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rule_is_told_as_ip_rule_tells_it(shape):
    payload, words, takes, owner = SHAPES[shape]
    seen = rule_seen(payload)
    assert (str(seen), seen.takes(SOURCE), seen.owner) == (words, takes, owner)


@pytest.mark.parametrize("shape", SHAPES.keys() - {"prohibit by bird"})
def test_one_that_bears_our_mark_is_ours_and_is_deleted_by_the_kernels_own_words(shape):
    payload, words, _, _ = SHAPES[shape]
    key, seen = from_wire("", payload)
    assert seen.owned
    assert from_wire("", memoryview(to_wire(key)))[0] == key
    if shape in ("plain", "all", "another", "mark", "tailscale", "suppressed"):
        assert not key.raw
    else:
        assert words in str(key)


def test_one_of_others_that_neo_cannot_want_is_not_read():
    assert from_wire("", rule(action=6, protocol=3)) is None
    assert from_wire("", rule(flags=INVERT, protocol=3)) is None
    assert not from_wire("", rule(FROM, length=32, protocol=3))[1].owned
