"""Generic netlink, nfnetlink and the path manager: what is packed, pyroute2 reads; what is read may be garbage."""

import errno
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import ctrlmsg
from pyroute2.netlink.generic.mptcp import mptcp_msg
from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_gen_msg, nft_table_msg
from tests.doubles.scripted_socket import message

from neod.netlink import mptcp_pm, nfnetlink, sock_diag
from neod.netlink.attributes import BE32, attr, attr_text, attr_u32, nest
from neod.netlink.genl import GENL, GENL_ID_CTRL, family_in, family_request, genl
from neod.netlink.message import NetlinkError


def read(kind, type_, payload):
    found = kind(message(type_, 1, payload))
    found.decode()
    return found


# ------------------------------------------------------ generic netlink


def test_a_family_is_asked_for_by_its_name():
    type_, flags, payload = family_request("mptcp_pm")
    asked = read(ctrlmsg, type_, payload)
    assert (type_, flags, asked["cmd"]) == (GENL_ID_CTRL, 0, 3)
    assert asked.get_attr("CTRL_ATTR_FAMILY_NAME") == "mptcp_pm"


def test_a_family_has_its_number_and_its_groups():
    groups = [nest(n, [attr_text(1, name), attr_u32(2, 10 + n)]) for n, name in ((1, "cmds"), (2, "events"))]
    payload = genl(1, attr(1, struct.pack("=H", 31)) + nest(7, groups))
    family = family_in(memoryview(payload))
    assert (family.id, family.groups) == (31, {"cmds": 11, "events": 12})


def test_a_family_without_groups_has_none_and_one_without_a_number_is_an_error():
    assert not family_in(memoryview(genl(1, attr(1, struct.pack("=H", 31))))).groups
    with pytest.raises(NetlinkError) as raised:
        family_in(memoryview(genl(1, attr(1, b"\1"))))
    assert raised.value.code == errno.EBADMSG


# ----------------------------------------------------------- nfnetlink


def test_a_table_is_named_and_flagged_in_the_byte_order_of_nftables():
    table = read(nft_table_msg, nfnetlink.NFT_MSG_NEWTABLE, nfnetlink.inet_table("neo", 6))
    assert (table["nfgen_family"], table["version"], table["res_id"]) == (nfnetlink.NFPROTO_INET, 0, 0)
    assert (table.get_attr("NFTA_TABLE_NAME"), table.get_attr("NFTA_TABLE_FLAGS")) == ("neo", 6)
    assert read(nft_table_msg, 0, nfnetlink.inet_table("neo")).get_attr("NFTA_TABLE_FLAGS") is None


def encoded(kind, family, **fields):
    made = kind()
    made["nfgen_family"] = family
    made["attrs"] = list(fields.items())
    made.encode()
    return memoryview(bytes(made.data))[16:]


def test_what_pyroute2_packs_of_nftables_is_read_as_meant():
    assert nfnetlink.table_in(
        encoded(nft_table_msg, 2, NFTA_TABLE_NAME="nat", NFTA_TABLE_USE=3)
    ) == nfnetlink.TableSeen("ip", "nat", True)
    chain = encoded(nft_chain_msg, 1, NFTA_CHAIN_TABLE="filter", NFTA_CHAIN_NAME="fwd")
    assert nfnetlink.chain_in(chain) == nfnetlink.ChainSeen("inet", "filter", "fwd")
    assert nfnetlink.generation_in(encoded(nft_gen_msg, 0, NFTA_GEN_ID=70000)) == 70000
    assert nfnetlink.author_in(encoded(nft_gen_msg, 0, NFTA_GEN_ID=7)) is None
    change = encoded(nft_gen_msg, 0, NFTA_GEN_ID=7, NFTA_GEN_PROC_PID=4711, NFTA_GEN_PROC_NAME="nft")
    assert nfnetlink.author_in(change) == (4711, "nft")


def test_a_chain_that_drops_what_is_forwarded_says_so():
    hook = nest(nfnetlink.NFTA_CHAIN_HOOK, [attr(nfnetlink.NFTA_HOOK_HOOKNUM, BE32.pack(nfnetlink.NF_INET_FORWARD))])
    policy = attr(nfnetlink.NFTA_CHAIN_POLICY, BE32.pack(nfnetlink.NF_DROP))
    chain = nfnetlink.chain_in(memoryview(nfnetlink.nfgenmsg(1) + hook + policy))
    assert (chain.hook, chain.policy) == (nfnetlink.NF_INET_FORWARD, nfnetlink.NF_DROP)


# -------------------------------------------------------- path manager


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_an_endpoint_is_read_by_pyroute2_and_read_back(address):
    endpoint = mptcp_pm.Endpoint(ip_address(address), 201, 5, 3, 8080)
    payload = mptcp_pm.address(mptcp_pm.ATTR_ADDR, endpoint, full=True)
    asked = read(mptcp_msg, 31, genl(mptcp_pm.CMD_ADD_ADDR, payload)).get_attr("MPTCP_PM_ATTR_ADDR")
    told = [asked.get_attr(f"MPTCP_PM_ADDR_ATTR_{name}") for name in ("ID", "FLAGS", "IF_IDX", "PORT")]
    family = 4 if endpoint.ip.version == 4 else 6
    assert told == [201, 5, struct.pack("=I", 3).hex(":"), 8080]  # pyroute2 reads an index as bytes
    assert asked.get_attr(f"MPTCP_PM_ADDR_ATTR_ADDR{family}") == address
    assert mptcp_pm.endpoint_of(memoryview(payload)) == endpoint


def test_limits_are_read_by_pyroute2_and_read_back():
    payload = mptcp_pm.limits(5, 3)
    asked = read(mptcp_msg, 31, genl(mptcp_pm.CMD_SET_LIMITS, payload))
    assert (asked.get_attr("MPTCP_PM_ATTR_SUBFLOWS"), asked.get_attr("MPTCP_PM_ATTR_RCV_ADD_ADDRS")) == (5, 3)
    assert mptcp_pm.limits_of(memoryview(payload)) == (5, 3)


# ------------------------------------------------------- hostile bytes

PARSERS = {
    "endpoint": mptcp_pm.endpoint_of,
    "limits": mptcp_pm.limits_of,
    "event": lambda data: mptcp_pm.event_of(1, data),
    "table": nfnetlink.table_in,
    "chain": nfnetlink.chain_in,
    "generation": nfnetlink.generation_in,
    "author": nfnetlink.author_in,
    "table of a message": nfnetlink.table_named_in,
    "subflow": sock_diag.flow_of,
    "connection": lambda data: list(sock_diag.assembled([data], [data])),
}
ATTRIBUTE = st.builds(attr, st.integers(0, 20), st.binary(max_size=80))
ATTRIBUTES = st.lists(ATTRIBUTE, max_size=6).map(b"".join)
HOSTILE = st.one_of(
    st.binary(max_size=150),
    st.builds(lambda head, tail: head + tail, st.binary(min_size=4, max_size=4), ATTRIBUTES),
    st.builds(lambda head, tail: head + tail, st.binary(min_size=72, max_size=72), ATTRIBUTES),
    st.lists(st.builds(attr, st.integers(0, 20), ATTRIBUTES), max_size=4).map(b"".join),
)


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS)
@given(data=HOSTILE)
def test_no_bytes_are_too_strange(parser, data):
    PARSERS[parser](memoryview(data))


@pytest.mark.slow
@given(HOSTILE)
def test_whatever_a_family_is_said_to_be_it_has_a_number_or_is_an_error(data):
    try:
        family = family_in(memoryview(GENL.pack(1, 1, 0) + data))
    except NetlinkError:
        return
    assert 0 < family.id <= 0xFFFF
