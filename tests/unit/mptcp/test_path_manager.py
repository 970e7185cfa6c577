"""The path manager against a kernel that is a list of commands."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

from tests.doubles.kernel import FakeClock

from neod.model.errors import KernelError
from neod.mptcp.connection import Subflow
from neod.mptcp.path_manager import BATCH, PathManager, request
from neod.mptcp.policy import DestroySubflow, LocalPath, Policy
from neod.netlink.mptcp_pm import (
    CMD_ANNOUNCE,
    CMD_SET_FLAGS,
    CMD_SUBFLOW_CREATE,
    CMD_SUBFLOW_DESTROY,
    EVENT_CLOSED,
    EVENT_ESTABLISHED,
    EVENT_SUB_CLOSED,
    EVENT_SUB_ESTABLISHED,
    Event,
)
from neod.netlink.sock_diag import ConnectionSeen, FlowSeen

LOOP = asyncio.new_event_loop()  # one for all: a manager that works twice in a test waits on the same
PEER = ip_address("192.0.2.10")
IPS = tuple(ip_address(f"10.8.0.{n}") for n in range(1, 31))


class Commands:
    release = (6, 18)

    def __init__(self):
        self.sent, self.batches, self.refuse = [], [], 0

    async def send(self, requests):
        self.batches.append(len(requests))
        self.sent += [command for command, _ in requests]
        error = KernelError("mptcp", self.refuse, "no") if self.refuse else None
        return [error] * len(requests)


def policy(number, flags=("subflow",)):
    here = frozenset(IPS[:number])
    return Policy(tuple(LocalPath(ip, flags) for ip in IPS[:number]), here, here)


def made(number=5, seen=(), **more):
    async def dump_connections():
        return seen

    commands, clock = Commands(), CountingClock()
    manager = PathManager(commands, dump_connections, clock)
    manager.want(policy(number, **more), 0)
    return manager, commands, clock


def run(work, *events):
    """Let the manager take *events* and work until it has nothing to do."""

    async def go():
        manager = work
        task = asyncio.create_task(manager.run())
        for _ in range(5):  # the dump of connections comes first
            await asyncio.sleep(0)
        for event in events:
            manager.take(event)
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()

    LOOP.run_until_complete(go())


class CountingClock(FakeClock):
    asked = 0

    def boottime(self):
        self.asked += 1
        return super().boottime()


def established(token, server=False):
    return Event(EVENT_ESTABLISHED, token, IPS[0], PEER, 40000, 443, server=server)


def test_creation_is_paced_in_batches():
    manager, commands, _ = made(30)
    run(manager, established(1))
    assert commands.sent == [CMD_SUBFLOW_CREATE] * 29
    assert max(commands.batches) == BATCH
    assert manager.counters.created == 29


def test_connections_that_ended_are_forgotten():
    manager, commands, _ = made()
    run(manager, established(1), Event(EVENT_CLOSED, 1))
    assert commands.sent == []
    assert manager.connections == {}


def test_a_dump_at_the_start_finds_open_connections():
    flow = FlowSeen(9, IPS[0], 40000, PEER, 443)
    manager, commands, _ = made(4, [ConnectionSeen(9, IPS[0], 40000, PEER, 443, False, 1, (flow,))])
    run(manager)
    assert len(commands.sent) == 3
    assert manager.counters.rebuilt == 1


def test_lost_events_lead_to_a_dump_that_forgets_what_is_gone():
    manager, _, _ = made(4)
    run(manager, established(1))
    manager.lost()
    run(manager)
    assert manager.connections == {}


def test_an_address_that_comes_is_used_by_all_open_connections_and_one_that_goes_is_destroyed():
    manager, commands, _ = made(2)
    run(manager, established(1), established(2))
    assert len(commands.sent) == 2
    for token in (1, 2):
        manager.take(Event(EVENT_SUB_ESTABLISHED, token, IPS[1], PEER, 5000 + token, 443, 2))
    manager.want(policy(3), 0)
    run(manager)
    assert len(commands.sent) == 4
    manager.want(policy(1), 0)
    run(manager)
    assert commands.sent.count(CMD_SUBFLOW_DESTROY) == 2


def test_the_total_over_all_connections_is_kept():
    manager, commands, _ = made(10)
    manager.want(policy(10), 15)
    run(manager, established(1), established(2))
    assert manager.subflows <= 15
    assert commands.sent.count(CMD_SUBFLOW_CREATE) == 13


def joined(token, number):
    return Event(EVENT_SUB_ESTABLISHED, token, IPS[number], PEER, 5000 + number, 443, number)


def closed(token, number):
    return Event(EVENT_SUB_CLOSED, token, IPS[number], PEER, 5000 + number, 443, number)


def test_a_connection_that_comes_when_there_is_no_room_makes_another_give_a_subflow_up():
    manager, commands, _ = made(4)
    manager.want(policy(4), 5)
    run(manager, established(1), joined(1, 1), joined(1, 2), joined(1, 3), established(2))
    assert (commands.sent, manager.subflows) == ([], 5)
    run(manager, established(3))
    assert commands.sent == [CMD_SUBFLOW_DESTROY]
    assert manager.subflows == 5
    assert [len(manager.connections[token].flows) for token in (1, 2, 3)] == [3, 1, 1]


def test_room_that_comes_is_used_by_those_who_waited():
    manager, commands, _ = made(4)
    manager.want(policy(4), 5)
    run(manager, established(1), joined(1, 1), joined(1, 2), joined(1, 3), established(2))
    run(manager, closed(1, 3))
    assert (commands.sent, manager.subflows) == ([CMD_SUBFLOW_CREATE], 5)
    run(manager, Event(EVENT_CLOSED, 1))
    assert manager.subflows == 4


def test_a_total_that_is_lowered_is_kept_at_once_and_no_connection_loses_its_last():
    manager, commands, _ = made(30)
    events = [joined(token, number) for token in (1, 2) for number in range(1, 30)]
    run(manager, established(1), established(2), established(3), *events)
    assert manager.subflows == 61 + 29
    for number in range(1, 30):
        manager.take(joined(3, number))
    manager.want(policy(30), 12)
    run(manager)
    assert [len(manager.connections[token].flows) for token in (1, 2, 3)] == [4, 4, 4]
    manager.want(policy(30), 2)
    run(manager)
    assert manager.subflows == 3
    assert max(commands.batches) == BATCH


def test_what_failed_and_is_no_longer_wanted_keeps_nobody_awake():
    manager, commands, clock = made(3)
    run(manager, established(1), joined(1, 1), joined(1, 2), closed(1, 2))
    manager.want(policy(2), 0)
    clock.advance(5)
    before = clock.asked
    run(manager)
    assert clock.asked - before < 20
    manager.want(policy(3), 0)
    run(manager)
    assert commands.sent.count(CMD_SUBFLOW_CREATE) == 1


def test_refused_commands_are_tried_again_later_and_not_at_once():
    manager, commands, clock = made(3)
    commands.refuse = 113
    run(manager, established(1))
    assert len(commands.sent) == 2
    commands.refuse = 0
    clock.advance(5)
    manager.take(Event(EVENT_SUB_ESTABLISHED, 1, IPS[0], PEER, 40000, 443))
    run(manager)
    assert len(commands.sent) == 4


def test_a_token_that_the_kernel_forgot_is_forgotten():
    manager, commands, _ = made(3)
    commands.refuse = 3  # ESRCH
    run(manager, established(1))
    assert manager.connections == {}


def test_announcements_go_one_at_a_time():
    manager, commands, clock = made(4, flags=("signal",))
    run(manager, established(1, server=True))
    assert commands.sent == [CMD_ANNOUNCE]
    clock.advance(1)
    run(manager, Event(EVENT_SUB_ESTABLISHED, 1, IPS[0], PEER, 40001, 443, 0, 1))
    assert commands.sent == [CMD_ANNOUNCE] * 2


def test_an_ipv4_subflow_on_an_ipv6_socket_is_named_to_the_kernel_as_it_has_it():
    mapped = bytes(10) + b"\xff\xff" + IPS[1].packed
    flow = Subflow(IPS[1], 443, PEER, 50000, 2, mapped=True)
    assert mapped in request(1, DestroySubflow(flow))[1]
    assert mapped not in request(1, DestroySubflow(replace(flow, mapped=False)))[1]


def test_a_changed_flag_is_sent_for_every_open_connection_and_not_again():
    manager, commands, _ = made(1)
    run(manager, established(1), established(2))
    manager.want(policy(1, ("subflow", "backup")), 0)
    run(manager)
    assert commands.sent == [CMD_SET_FLAGS, CMD_SET_FLAGS]
    run(manager, Event(EVENT_SUB_CLOSED, 1))
    assert commands.sent == [CMD_SET_FLAGS, CMD_SET_FLAGS]
