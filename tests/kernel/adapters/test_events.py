"""The event plane on a real kernel: what passes the filter, what is dropped, and that an overrun ends nothing."""

import asyncio
import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.doubles.waiting import until
from tests.lab.netns import ip_batch, namespace

from neod.kernel.events import EventSocket
from neod.kinds import REGISTRY
from neod.kinds.rule import RuleKey, to_wire
from neod.model.marks import PROTOCOL
from neod.netlink.message import HEADER
from neod.netlink.netns import opener_in
from neod.netlink.rtnetlink import RTM_DELROUTE, RTM_NEWROUTE, RTM_NEWRULE, RTMSG
from neod.netlink.socket import NETLINK_ROUTE

pytestmark = pytest.mark.kernel

GROUPS = sorted({group for entry in REGISTRY for group in entry.kind.groups})
ROUTES = (RTM_NEWROUTE, RTM_DELROUTE)


@pytest.fixture
def netns():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace("events") as name:
        yield name


class Ears:
    """An event socket in a namespace, and what came out of it."""

    def __init__(self, netns, receive_buffer_bytes=None):
        self.heard, self.lost = [], 0

        def opener(protocol, size):
            return opener_in(Path("/run/netns") / netns)(protocol, receive_buffer_bytes or size)

        def take(type_, payload, actor):
            self.heard.append((type_, bytes(payload), actor))

        self.socket = EventSocket(GROUPS, take, self._count, opener)

    def _count(self):
        self.lost += 1

    def routes(self):
        return [payload for type_, payload, _ in self.heard if type_ in ROUTES]


async def test_foreign_routes_are_dropped_and_whatever_can_concern_us_passes(netns):
    ears = Ears(netns)
    ears.socket.filter(PROTOCOL, [*range(1, 5), 300, 70000], own_port=1)
    ears.socket.start(asyncio.get_running_loop())
    await asyncio.to_thread(ip_batch, netns, [f"route add 10.{i}.0.0/16 dev lo table 100" for i in range(200)])
    ours = [
        ("table 900 proto 110", "10.1.0.0/16"),  # our protocol, wherever
        ("table 3", "10.2.0.0/16"),  # our table, whoever
        ("table 300", "10.3.0.0/16"),  # a table that does not fit a byte
        ("table 70000", "10.4.0.0/16"),
        ("table 100", "default"),  # a default route: followed uplinks live by it
    ]
    await asyncio.to_thread(ip_batch, netns, [f"route add {dst} dev lo {where}" for where, dst in ours])
    await asyncio.to_thread(ip_batch, netns, ["route add 10.200.0.0/16 dev lo table 299"])
    await asyncio.to_thread(ip_batch, netns, ["rule add from 10.0.0.1 lookup 3 priority 900"])
    await until(lambda: any(type_ == 32 for type_, _, _ in ears.heard))
    ears.socket.close(asyncio.get_running_loop())
    assert len(ears.routes()) == len(ours)
    assert [RTMSG.unpack_from(p)[4] for p in ears.routes()] == [252, 3, 252, 252, 100]


async def test_what_we_did_ourselves_is_not_told_to_us(netns):
    ears = Ears(netns)
    other = opener_in(Path("/run/netns") / netns)(NETLINK_ROUTE, 1 << 20)
    ears.socket.filter(PROTOCOL, [7], own_port=other.getsockname()[0])
    ears.socket.start(asyncio.get_running_loop())

    payload = to_wire(RuleKey("", 11007, ip_network("10.0.0.7/32"), 7))
    other.send(HEADER.pack(16 + len(payload), RTM_NEWRULE, 0x1 | 0x4 | 0x600, 1, 0) + payload)
    await asyncio.to_thread(ip_batch, netns, ["rule add from 10.0.0.8 lookup 7 priority 11008"])
    await until(lambda: ears.heard)
    ears.socket.close(asyncio.get_running_loop())
    other.close()
    assert len([type_ for type_, _, _ in ears.heard if type_ == 32]) == 1


async def test_an_overrun_is_reported_and_later_events_still_come(netns):
    ears = Ears(netns, receive_buffer_bytes=2304)
    await asyncio.to_thread(ip_batch, netns, [f"route add 10.{i}.0.0/16 dev lo table 3" for i in range(250)])
    ears.socket.start(asyncio.get_running_loop())
    await until(lambda: ears.lost)
    seen = len(ears.heard)
    await asyncio.to_thread(ip_batch, netns, ["rule add from 10.0.0.1 lookup 3 priority 900"])
    await until(lambda: any(type_ == 32 for type_, _, _ in ears.heard[seen:]))
    ears.socket.close(asyncio.get_running_loop())
    assert ears.socket.overruns >= 1


async def test_the_program_that_made_a_change_is_named_while_it_lives(netns):
    ears = Ears(netns)
    ears.socket.start(asyncio.get_running_loop())
    program = await asyncio.create_subprocess_exec(
        "ip", "-n", netns, "-b", "-", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert program.stdin is not None
    program.stdin.write(b"rule add from 10.0.0.1 lookup 3 priority 900\n")
    await program.stdin.drain()
    await until(lambda: any(type_ == 32 for type_, _, _ in ears.heard))
    program.stdin.close()
    await program.wait()
    ears.socket.close(asyncio.get_running_loop())
    actor = next(actor for type_, _, actor in ears.heard if type_ == 32)
    assert (actor.pid, actor.name) == (program.pid, "ip")
