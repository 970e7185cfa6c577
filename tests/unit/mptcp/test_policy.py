"""Which subflows a connection gets, from whom it gets none, and what happens when some die."""

import errno
from ipaddress import ip_address, ip_network

import pytest

from neod.mptcp.connection import MptcpConnection, Subflow, from_dump
from neod.mptcp.policy import (
    AnnounceAddress,
    CreateSubflow,
    DestroySubflow,
    LocalPath,
    Policy,
    SetPriority,
    WithdrawAddress,
    releases,
    steps,
)
from neod.netlink.mptcp_pm import (
    EVENT_ANNOUNCED,
    EVENT_ESTABLISHED,
    EVENT_REMOVED,
    EVENT_SUB_CLOSED,
    EVENT_SUB_ESTABLISHED,
    Event,
)
from neod.netlink.sock_diag import FLOW_BACKUP_LOC, ConnectionSeen, FlowSeen

A, B, C, D = (ip_address(f"10.8.0.{n}") for n in (1, 2, 3, 4))
NIC = ip_address("10.8.0.5")
PEER, RELAY, OTHER_RELAY = ip_address("192.0.2.10"), ip_address("203.0.113.11"), ip_address("203.0.113.12")


def policy(*ips, flags=("subflow",), **more):
    here = frozenset({*ips, NIC})
    return Policy(tuple(LocalPath(ip, flags) for ip in ips), **({"ours": here, "here": here} | more))


def connection(local=A, server=False):
    made = MptcpConnection(7, server, Subflow(local, 40000, PEER, 443))
    made.on_event(Event(EVENT_ESTABLISHED, 7, local, PEER, 40000, 443), 0.0)
    return made


def pairs(found):
    return [(step.pair[0], step.pair[1]) for step in found if isinstance(step, CreateSubflow)]


def joined(one, local, remote=PEER, port=443, number=1):
    one.on_event(Event(EVENT_SUB_ESTABLISHED, 7, local, remote, 50000 + number, port, number), 0.0)


def closed(one, local, now, error=0, reset=0, number=1):
    event = Event(EVENT_SUB_CLOSED, 7, local, PEER, 50000 + number, 443, number, error=error, reset=reset)
    one.on_event(event, now)


def test_every_other_address_gets_one_subflow():
    assert pairs(steps(connection(), policy(A, B, C), 0.0, 99)) == [(B, PEER), (C, PEER)]


def test_a_connection_from_the_nic_gets_one_of_every_path():
    assert pairs(steps(connection(NIC), policy(A, B), 0.0, 99)) == [(A, PEER), (B, PEER)]


def test_nothing_is_asked_for_twice():
    one = connection()
    one.pending[(B, PEER, 443)] = 0.0
    joined(one, C)
    assert steps(one, policy(A, B, C), 0.0, 99) == []


def test_address_ids_are_unique_and_the_first_address_has_none():
    found = steps(connection(B), policy(A, B, C), 0.0, 99)
    assert [(step.pair[0], step.local_id) for step in found] == [(A, 1), (C, 3)]


def test_ids_that_the_kernel_refused_are_not_used_again():
    one = connection()
    one.unusable_ids.add(2)
    (create,) = steps(one, policy(A, B), 0.0, 99)
    assert create.local_id not in (0, 2)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"here": frozenset({A, B, PEER})}, id="a peer on this host"),
        pytest.param({"exclude": (ip_network("192.0.2.0/24"),)}, id="an excluded peer"),
        pytest.param({"ours": frozenset({B})}, id="an address of others"),
    ],
)
def test_connections_that_are_not_ours_are_left_alone(more):
    assert steps(connection(), policy(A, B, **more), 0.0, 99) == []


def test_a_server_connects_to_nobody_and_announces_one_address_after_the_other():
    one = connection(server=True)
    found = steps(one, policy(A, B, C, flags=("signal",)), 0.0, 99)
    assert [step.ip for step in found if isinstance(step, AnnounceAddress)] == [B, C]
    assert pairs(found) == []
    one.announced_by_us[B] = 2
    assert [step.ip for step in steps(one, policy(A, B, C, flags=("signal",)), 0.0, 99)] == [C]


def test_an_announced_address_that_is_gone_is_withdrawn():
    one = connection(server=True)
    one.announced_by_us[B] = 2
    assert steps(one, policy(A, flags=("signal",)), 0.0, 99) == [WithdrawAddress(B, 2)]


def test_announced_addresses_get_a_subflow_each_or_a_mesh():
    one = connection()
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, RELAY, remote_id=1), 0.0)
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, OTHER_RELAY, remote_port=8443, remote_id=2), 0.0)
    found = pairs(steps(one, policy(A, B), 0.0, 99))
    assert found == [(B, PEER), (A, RELAY), (B, OTHER_RELAY)]
    meshed = pairs(steps(one, policy(A, B, flags=("subflow", "fullmesh")), 0.0, 99))
    assert sorted(meshed) == sorted([(B, PEER), *((x, y) for x in (A, B) for y in (RELAY, OTHER_RELAY))])
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=1), 0.0)
    assert (A, RELAY) not in pairs(steps(one, policy(A, B), 0.0, 99))


def test_a_peer_with_a_deny_join_id0_is_reached_by_what_it_announces():
    one = MptcpConnection(7, False, Subflow(A, 40000, PEER, 443))
    one.on_event(Event(EVENT_ESTABLISHED, 7, A, PEER, 40000, 443, deny_join_id0=True), 0.0)
    assert steps(one, policy(A, B), 0.0, 99) == []
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, RELAY, remote_id=1), 0.0)
    assert pairs(steps(one, policy(A, B), 0.0, 99)) == [(A, RELAY), (B, RELAY)]


def test_caps_are_kept():
    assert len(pairs(steps(connection(), policy(A, B, C, D, max_subflows=3), 0.0, 99))) == 2
    assert len(pairs(steps(connection(), policy(A, B, C, D), 0.0, 1))) == 1


def test_a_cap_that_is_lowered_closes_the_worst_and_never_the_first():
    one = connection(B)
    for number, address in enumerate((A, C, D), 1):
        joined(one, address, number=number)
    assert [step.flow.local for step in steps(one, policy(A, B, C, D, max_subflows=2), 0.0, 99)] == [D, C]
    assert [step.flow.local for step in steps(one, policy(A, B, C, D, max_subflows=1), 0.0, 99)] == [D, C, A]
    assert steps(one, policy(A, B, C, D, max_subflows=4), 0.0, 99) == []
    assert len(releases(one, policy(A, B, C, D), 99)) == 3


def test_a_server_closes_nothing_for_a_cap():
    one = connection(server=True)
    joined(one, B)
    assert steps(one, policy(A, B, max_subflows=1), 0.0, 99) == []


def test_subflows_of_an_address_that_is_gone_are_destroyed_after_new_ones_are_asked_for():
    one = connection()
    joined(one, B)
    found = steps(one, policy(A, C), 0.0, 99)
    assert [type(step) for step in found] == [CreateSubflow, DestroySubflow]
    assert found[1].flow.local == B


def test_the_last_subflow_is_never_destroyed():
    assert not [step for step in steps(connection(B), policy(A), 0.0, 99) if isinstance(step, DestroySubflow)]


def test_a_subflow_that_died_is_replaced_after_a_pause_that_grows():
    one = connection()
    joined(one, B)
    closed(one, B, 10.0, errno.ETIMEDOUT)
    assert steps(one, policy(A, B), 10.5, 99) == []
    assert pairs(steps(one, policy(A, B), 11.1, 99)) == [(B, PEER)]
    assert one.next_due(10.0) == 11.0
    one.pending[(B, PEER, 443)] = 11.1
    closed(one, B, 12.0, errno.ETIMEDOUT)
    assert steps(one, policy(A, B), 13.5, 99) == []
    assert pairs(steps(one, policy(A, B), 14.1, 99)) == [(B, PEER)]


def test_a_peer_that_refuses_is_asked_rarely_and_with_one_subflow():
    one, wide = connection(), policy(A, B, C, D)
    for step in steps(one, wide, 0.0, 99):
        one.pending[step.pair] = 0.0
    for local in (B, C, D):
        closed(one, local, 0.1, errno.ECONNRESET, 3)
    assert steps(one, wide, 4.0, 99) == []
    assert len(pairs(steps(one, wide, 6.0, 99))) == 1
    one.pending[(B, PEER, 443)] = 6.0
    closed(one, B, 6.1, errno.ECONNRESET, 3)
    assert steps(one, wide, 20.0, 99) == []
    joined(one, B)
    assert pairs(steps(one, wide, 20.0, 99)) == [(C, PEER), (D, PEER)]


def test_zeros_after_the_end_of_a_subflow_mean_nothing():
    one = connection()
    zero = ip_address("0.0.0.0")
    one.on_event(Event(EVENT_SUB_CLOSED, 7, zero, zero), 0.0)
    assert len(one.flows) == 1
    assert one.failures == {}


def test_what_was_asked_for_and_never_heard_of_is_given_up():
    one = connection()
    one.pending[(B, PEER, 443)] = 0.0
    one.overdue(1000.0)
    assert one.pending == {}
    assert pairs(steps(one, policy(A, B), 1002.0, 99)) == [(B, PEER)]


def test_a_dump_tells_what_events_would_have():
    flows = tuple(FlowSeen(7, ip, 40000 + n, PEER, 443, n) for n, ip in enumerate((A, B)))
    one = from_dump(ConnectionSeen(7, A, 40000, PEER, 443, False, 1, flows))
    assert pairs(steps(one, policy(A, B, C), 0.0, 99)) == [(C, PEER)]
    one.update(ConnectionSeen(7, A, 40000, PEER, 443, False, 1, flows[:1]))
    assert pairs(steps(one, policy(A, B, C), 0.0, 99)) == [(B, PEER), (C, PEER)]


def test_what_goes_to_an_address_that_the_peer_withdrew_is_closed_and_opened_when_it_is_announced_again():
    one = connection()
    announced = Event(EVENT_ANNOUNCED, 7, None, RELAY, remote_port=443, remote_id=2)
    one.on_event(announced, 0.0)
    joined(one, A, RELAY, number=0)  # behind a relay the peer's id of a subflow is another: that of the real address
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=2), 1.0)
    (gone,) = steps(one, policy(A), 1.0, 99)
    assert isinstance(gone, DestroySubflow)
    assert gone.flow.remote == RELAY
    one.flows.pop(gone.flow.quad)
    assert steps(one, policy(A), 1.0, 99) == []
    one.on_event(announced, 2.0)
    assert pairs(steps(one, policy(A), 2.0, 99)) == [(A, RELAY)]


def test_after_a_restart_the_ways_that_a_connection_uses_are_known_as_announced():
    flows = [
        FlowSeen(7, A, 40000, PEER, 443),
        FlowSeen(7, A, 50000, RELAY, 443),
        FlowSeen(7, A, 50001, OTHER_RELAY, 443),
    ]
    one = from_dump(ConnectionSeen(7, A, 40000, PEER, 443, False, 1, tuple(flows)))
    assert steps(one, policy(A), 0.0, 99) == []
    one.on_event(Event(EVENT_SUB_CLOSED, 7, A, RELAY, 50000, 443), 0.0)
    assert pairs(steps(one, policy(A), 5.0, 99)) == [(A, RELAY)]
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, RELAY, remote_port=443, remote_id=2), 5.0)
    assert pairs(steps(one, policy(A), 5.0, 99)) == [(A, RELAY)]
    assert sorted(one.announced) == [-2, 2]


def test_a_server_takes_no_client_for_an_announced_address():
    flows = (FlowSeen(7, PEER, 443, A, 40000), FlowSeen(7, PEER, 443, B, 50000))
    assert not from_dump(ConnectionSeen(7, PEER, 443, A, 40000, True, 1, flows)).announced


def test_a_connection_of_a_family_without_paths_goes_to_what_is_announced_from_where_it_began():
    local, peer, relay = (ip_address(f"2001:db8::{n}") for n in (1, 2, 3))
    one = MptcpConnection(7, False, Subflow(local, 40000, peer, 443))
    one.on_event(Event(EVENT_ESTABLISHED, 7, local, peer, 40000, 443), 0.0)
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, relay, remote_port=443, remote_id=2), 0.0)
    here = frozenset({local, A, NIC})
    assert pairs(steps(one, policy(A, here=here, ours=here), 0.0, 99)) == [(local, relay)]


def announce(one, ip, number, port=443):
    one.on_event(Event(EVENT_ANNOUNCED, 7, None, ip, remote_port=port, remote_id=number), 0.0)


def test_a_target_keeps_its_subflow_when_the_one_announced_before_it_is_withdrawn():
    one = connection()
    announce(one, RELAY, 1)
    announce(one, OTHER_RELAY, 2)
    joined(one, B)
    for local, remote in ((A, RELAY), (B, OTHER_RELAY)):
        joined(one, local, remote, number=2)
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=1), 1.0)
    (gone,) = steps(one, policy(A, B), 1.0, 99)
    assert (gone.flow.local, gone.flow.remote) == (A, RELAY)


def test_an_address_with_two_ids_is_one_target_and_stays_while_one_id_does():
    one = connection()
    announce(one, RELAY, 1)
    announce(one, RELAY, 5)
    assert pairs(steps(one, policy(A, B), 0.0, 99)) == [(B, PEER), (A, RELAY)]
    joined(one, A, RELAY)
    joined(one, B)
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=1), 1.0)
    assert steps(one, policy(A, B), 1.0, 99) == []
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=5), 1.0)
    assert [step.flow.remote for step in steps(one, policy(A, B), 1.0, 99)] == [RELAY]


def test_an_address_at_two_ports_is_two_targets():
    one = connection()
    announce(one, RELAY, 1)
    announce(one, RELAY, 2, 8443)
    found = [step.pair for step in steps(one, policy(A), 0.0, 99)]
    assert found == [(A, RELAY, 443), (A, RELAY, 8443)]


def test_a_peer_that_withdraws_the_address_it_began_with_is_left_there_and_found_where_it_is():
    one = connection()
    announce(one, RELAY, 1)
    joined(one, A, RELAY)
    one.on_event(Event(EVENT_REMOVED, 7, remote_id=0), 1.0)
    found = steps(one, policy(A, B), 1.0, 99)
    assert pairs(found) == [(B, RELAY)]
    assert [step.flow.remote for step in found if isinstance(step, DestroySubflow)] == [PEER]


@pytest.mark.parametrize("server", [False, True])
def test_a_path_that_becomes_a_backup_tells_so_for_what_is_open_and_once(server):
    one = connection(server=server)
    joined(one, B)
    wide = Policy(
        (LocalPath(A, ("subflow",)), LocalPath(B, ("subflow", "backup"))), frozenset({A, B}), frozenset({A, B})
    )
    (step,) = steps(one, wide, 0.0, 99)
    assert (type(step), step.flow.local, step.backup) == (SetPriority, B, True)
    one.note_backup(step.flow.pair, step.backup)
    assert steps(one, wide, 0.0, 99) == []
    (back,) = steps(one, policy(A, B), 0.0, 99)
    assert (back.flow.local, back.backup) == (B, False)


def test_a_dump_tells_which_subflows_are_backups():
    flows = (FlowSeen(7, A, 40000, PEER, 443), FlowSeen(7, B, 50000, PEER, 443, 2, flags=FLOW_BACKUP_LOC))
    one = from_dump(ConnectionSeen(7, A, 40000, PEER, 443, False, 1, flows))
    assert [step.backup for step in steps(one, policy(A, B), 0.0, 99)] == [False]


def test_a_path_that_is_no_longer_meshed_gives_up_what_is_too_much_and_keeps_one_a_target():
    one = connection()
    announce(one, RELAY, 1)
    for number, (local, remote) in enumerate(((B, PEER), (A, RELAY), (B, RELAY)), 1):
        joined(one, local, remote, number=number)
    assert steps(one, policy(A, B, flags=("subflow", "fullmesh")), 0.0, 99) == []
    (gone,) = steps(one, policy(A, B), 0.0, 99)
    assert (gone.flow.local, gone.flow.remote) == (B, RELAY)


def test_a_path_that_is_only_announced_from_now_on_carries_no_subflow_of_a_client():
    one = connection()
    joined(one, B)
    mixed = Policy((LocalPath(A, ("subflow",)), LocalPath(B, ("signal",))), frozenset({A, B}), frozenset({A, B}))
    assert [step.flow.local for step in steps(one, mixed, 0.0, 99)] == [B]
