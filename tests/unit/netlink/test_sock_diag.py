"""Connections and subflows from what sock_diag of Linux 6.18 said of two hosts.

The client, 192.0.2.1 and .2, has a connection to a server at [::]:443 with a subflow from its second address, one to
a server of plain TCP at port 80, and one that never was MPTCP.
"""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from neod.netlink.sock_diag import assembled, flow_of

RECORDED = json.loads((Path(__file__).parent / "recorded/sock_diag.json").read_text())
FIRST, SECOND, SERVER = (ip_address(f"192.0.2.{n}") for n in (1, 2, 10))


def messages(side, what):
    return [memoryview(bytes.fromhex(text)) for text in RECORDED[side][what]]


def seen(side):
    return {(one.remote_port, one.local_port): one for one in assembled(*(messages(side, w) for w in RECORDED[side]))}


@pytest.fixture(scope="module")
def client():
    return {remote: one for (remote, _), one in seen("client").items()}


def test_a_connection_has_its_first_subflow_and_the_one_that_joined(client):
    one = client[443]
    assert [(flow.local, flow.remote, flow.local_id) for flow in one.flows] == [
        (FIRST, SERVER, 0),
        (SECOND, SERVER, 201),
    ]
    assert (one.local, one.remote, one.server, one.fallback, one.state) == (FIRST, SERVER, False, False, 1)
    assert {flow.token for flow in one.flows} == {one.token}


def test_bytes_are_summed_over_the_subflows(client):
    one = client[443]
    assert (one.received, one.sent - sum(flow.tcp.sent for flow in one.flows)) == (700, 0)
    assert 5000 <= one.sent < 5010


def test_a_connection_that_fell_back_says_so_and_is_still_a_clients(client):
    assert (client[80].fallback, client[80].server, len(client[80].flows)) == (True, False, 1)


def test_a_socket_of_plain_tcp_is_no_subflow():
    sockets = messages("client", "sockets")
    flows = [flow for payload in sockets if (flow := flow_of(payload))]
    assert (len(sockets), len(flows)) == (4, 3)


def test_the_other_side_is_the_server_and_its_mapped_addresses_are_ipv4():
    (one,) = [one for one in seen("server").values() if one.local_port == 443]
    assert (one.server, one.local, one.remote) == (True, SERVER, FIRST)
    assert [(flow.remote, flow.remote_id) for flow in one.flows] == [(FIRST, 0), (SECOND, 201)]


def test_rtt_and_rate_are_those_of_the_socket(client):
    first = client[443].flows[0].tcp
    assert (first.rtt_ms, first.rate, first.backoff, first.retransmitted) == (0.054, 386133333, 0, 0)


@pytest.mark.parametrize("side", ["client", "server"])
def test_messages_that_an_older_kernel_cuts_short_leave_zeros_and_do_not_raise(side):
    for payload in messages(side, "sockets"):
        for length in range(72, len(payload), 4):
            cut = flow_of(payload[:length])
            assert cut is None or cut.tcp.sent >= 0


def test_a_connection_without_its_subflows_is_nobodys():
    (one, *_) = assembled(messages("client", "masters"), [])
    assert (one.flows, one.server) == ((), False)
