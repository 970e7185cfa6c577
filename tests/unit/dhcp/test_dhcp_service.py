"""The service on a segment of the test: which client sends when, whose an answer is, what is published and kept."""

import asyncio
import contextlib
import socket
import struct
import threading
from ipaddress import IPv4Address
from random import Random

import pytest
from tests.doubles.dhcp_messages import SERVER_MAC, answer, datagram
from tests.doubles.waiting import until

from neod.dhcp import fsm, lease_writer, rawsocket, runner, timers
from neod.dhcp.packet import ACK, DISCOVER, NAK, OFFER, RELEASE, REQUEST
from neod.dhcp.runner import DhcpService
from neod.dhcp.store import LeaseStore
from neod.kernel import files
from neod.kernel.clock import SystemClock
from neod.kernel.files import StateFile
from neod.model.facts import FOREVER, DhcpClient

pytestmark = pytest.mark.slow

FIRST_IP = int(IPv4Address("10.77.1.0"))


def mac_of(number):
    return f"02:4e:00:00:{number >> 8:02x}:{number & 255:02x}"


class Clock(SystemClock):
    ahead_s = 0.0

    def boottime(self):
        return super().boottime() + self.ahead_s


class Wire(rawsocket.Packets):
    """Both ends of a parent: hands out what stands for packet sockets, and is the network behind."""

    def __init__(self):
        self.gone = False
        self.index = 7
        self.heard = []  # every DHCP request: (kind, mac, xid, requested)
        self.outstanding = set()
        self.most = 0
        self.script = self.serve
        self.opened = 0
        self._far = None

    def open_dhcp(self, link):
        if self.gone:
            raise OSError(19, "No such device")
        self.opened += 1
        near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return End(near, self)

    def open_arp(self, link):
        raise OSError(1, "none here")

    def open_port_68(self):
        raise OSError(98, "in use")

    def index_of(self, link):
        return 0 if self.gone else self.index

    def name_of(self, index):
        return "up0" if not self.gone and index == self.index else ""

    def take(self, frame):
        if frame[12:14] != b"\x08\x00":
            return
        payload = frame[42:]
        options, at = {}, 240
        while payload[at] != 255:
            options[payload[at]] = payload[at + 2 : at + 2 + payload[at + 1]]
            at += 2 + payload[at + 1]
        kind, mac, xid = options[53][0], payload[28:34], struct.unpack_from("!I", payload, 4)[0]
        wanted = int.from_bytes(options.get(50, payload[12:16]), "big")
        self.heard.append((kind, mac, xid, wanted))
        self.outstanding.add(mac)
        self.most = max(self.most, len(self.outstanding))
        self.script(kind, mac, xid, wanted)

    def serve(self, kind, mac, xid, wanted):
        """Give everybody the address that its MAC spells."""
        if kind in (DISCOVER, REQUEST):
            self.reply(OFFER if kind == DISCOVER else ACK, mac, xid)

    def reply(self, kind, mac, xid, ip=None):
        number = int.from_bytes(mac[-2:], "big")
        ip = FIRST_IP + number if ip is None else ip
        if kind in (ACK, NAK):
            self.outstanding.discard(mac)
        with contextlib.suppress(BlockingIOError):
            self._far.send(datagram(answer(kind, xid=xid, ip=ip, mac=mac), dst=ip))

    def kinds(self, kind):
        return [heard for heard in self.heard if heard[0] == kind]


class End:
    """What the service takes for a packet socket."""

    def __init__(self, near, wire):
        self._near, self._wire = near, wire
        self.index, self.mac = wire.index, bytes.fromhex("0200000000ee")
        self.fileno, self.close = near.fileno, near.close

    def frames(self, most):
        for _ in range(most):
            try:
                yield self._near.recv(2048)
            except BlockingIOError:
                return

    def send(self, frame):
        self._wire.take(frame)

    def dropped(self):
        return 0


@pytest.fixture
def wire():
    return Wire()


class Host:
    """A service that runs, and what it told."""

    def __init__(self, tmp_path, wire):
        self.wire, self.clock, self.directory = wire, Clock(), tmp_path
        self.told, self.leases, self.logged = [], {}, []
        self.disk_works, self._file, self._on_disk = True, None, {}
        self.service = self.make()

    def make(self):
        store = LeaseStore(StateFile(self.directory / "leases.json"), self.clock)
        log = lambda event, fields: self.logged.append((event, fields))  # noqa: E731
        return DhcpService(self.clock, store, self.publish, packets=self.wire, rng=Random(1), log=log)

    def on_disk(self):
        """Return what a process would find that starts now."""
        path = self.directory / "leases.json"
        if path.exists() and (now := path.read_bytes()) != self._file:
            self._file, self._on_disk = now, LeaseStore(StateFile(self.directory / "leases.json"), self.clock).load()
        return self._on_disk

    def publish(self, link, lease):
        self.told.append((link, lease))
        if lease is None:
            self.leases.pop(link, None)
            return
        assert not self.disk_works or self.on_disk()[link].lease.ip == lease.ip, "in use before it is on disk"
        self.leases[link] = lease

    def want(self, *numbers, release=True):
        self.service.want([DhcpClient(f"m{number}", "up0", "", release=release) for number in numbers])

    def ready(self, *numbers):
        for number in numbers:
            self.service.link_ready(f"m{number}", mac_of(number))

    def status(self, number):
        return {status.link: status for status in self.service.status()}[f"m{number}"]

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.ensure_future(self.service.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, condition, timeout_s=10):
        await until(condition, timeout_s)


@pytest.fixture
def host(tmp_path, wire):
    return Host(tmp_path, wire)


async def test_a_thousand_leases_with_at_most_64_exchanges_in_flight(host, wire):
    numbers = range(1, 1001)
    host.want(*numbers)
    async with host.running():
        host.ready(*numbers)
        await host.until(lambda: len(host.leases) == 1000, 30)
    assert wire.most == 64
    assert len(wire.kinds(DISCOVER)) == len(wire.kinds(REQUEST)) == 1000
    assert {link: int(lease.ip) - FIRST_IP for link, lease in host.leases.items()} == {f"m{n}": n for n in numbers}


@pytest.mark.slow
async def test_a_client_that_is_not_answered_holds_up_nobody(host, wire):
    deaf = {bytes.fromhex(mac_of(number).replace(":", "")) for number in range(1, 65)}
    wire.script = lambda kind, mac, *rest: None if mac in deaf else wire.serve(kind, mac, *rest)
    host.want(*range(1, 101))
    async with host.running():
        host.ready(*range(1, 101))
        await host.until(lambda: len(host.leases) == 36)


@pytest.mark.slow
async def test_a_dead_server_gets_few_packets_and_its_return_is_noticed_by_all(host, wire):
    wire.script = lambda *_: None
    host.want(*range(1, 201))
    async with host.running():
        host.ready(*range(1, 201))
        begun = host.clock.boottime()
        await host.until(lambda: host.clock.boottime() - begun > 4)
        elapsed_s = host.clock.boottime() - begun
        assert len(wire.heard) <= 64 + elapsed_s * 130, "a window a half second"
        wire.script = wire.serve
        await host.until(lambda: len(host.leases) == 200)
        assert host.service.counters["hurries"] == 1


async def test_links_that_are_not_ready_send_nothing(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
    assert {mac for _, mac, _, _ in wire.heard} == {bytes.fromhex(mac_of(1).replace(":", ""))}
    assert host.status(2).state == "stopped"


async def test_a_new_process_confirms_what_the_old_one_had(host, wire):
    host.want(1, 2, 3)
    async with host.running():
        host.ready(1, 2, 3)
        await host.until(lambda: len(host.leases) == 3)
    before, wire.heard[:], host.told[:] = dict(host.leases), [], []
    host.service = host.make()
    assert host.service.stored() == before
    host.want(1, 2, 3)
    assert host.told == [], "what is stored is asked for, not told"
    async with host.running():
        host.ready(1, 2, 3)
        await host.until(lambda: len(host.told) == 3)
    assert [kind for kind, *_ in wire.heard] == [REQUEST] * 3
    assert {link: lease.ip for link, lease in host.leases.items()} == {k: v.ip for k, v in before.items()}


async def test_a_stored_lease_of_a_link_no_longer_wanted_is_forgotten(host):
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
    host.service = host.make()
    host.want(2)
    assert host.told[-1] == ("m1", None)
    async with host.running():
        await asyncio.sleep(0)
    assert set(host.make().stored()) == {"m2"}


def released(wire):
    return [int.from_bytes(mac[-2:], "big") for _, mac, _, _ in wire.kinds(RELEASE)]


async def test_a_lease_that_the_file_gives_up_is_given_back_and_one_that_ends_with_the_process_is_not(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
        host.want(2)
        assert (released(wire), set(host.leases)) == ([1], {"m2"})
    assert released(wire) == [1]
    host.service = host.make()
    host.want()
    assert released(wire) == [1, 2], "taken out of the file while nobody ran"


async def test_a_lease_is_not_given_back_where_the_file_says_so(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
        host.want(1, 2, release=False)
        host.want(1, release=False)
    host.service = host.make()
    host.want()
    assert released(wire) == []


async def test_a_client_that_is_new_or_back_from_a_trial_keeps_what_the_file_wants_kept(host, wire):
    host.want(1, 2, release=False)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
        host.service.returns.hold()
        host.want(1, release=False)
        host.want(1, 2, release=False)
        host.service.returns.let_go()
        wire.heard.clear()
        host.ready(2)
        await host.until(lambda: wire.kinds(REQUEST) and host.status(2).state == "bound")
        host.want(release=False)
    assert released(wire) == []


async def test_nothing_is_given_back_while_a_reload_is_on_trial(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
        before = dict(host.leases)
        host.service.returns.hold()
        host.want(1)
        assert (set(host.leases), released(wire)) == ({"m1"}, [])
        await host.until(lambda: set(host.on_disk()) == {"m1", "m2"})
        host.want(1, 2)
        host.service.returns.let_go()
        assert (host.leases, released(wire)) == (before, []), "undone"
        host.service.returns.hold()
        host.want(1)
        host.service.returns.let_go()
        assert released(wire) == [2]
        await host.until(lambda: set(host.on_disk()) == {"m1"})


async def test_a_stored_lease_of_another_mac_is_not_used(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
    host.service = host.make()
    host.service.want([DhcpClient("m1", "up0", "02:4E:00:00:00:63")])
    assert host.told[-1] == ("m1", None)
    assert host.service.stored() == {}


async def test_an_address_found_on_the_link_is_asked_for(host, wire):
    host.want(1)
    async with host.running():
        host.service.link_ready("m1", mac_of(1), IPv4Address(FIRST_IP + 1))
        await host.until(lambda: "m1" in host.leases)
    assert [(kind, wanted) for kind, _, _, wanted in wire.heard] == [(REQUEST, FIRST_IP + 1)]


async def test_another_mac_is_another_client(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        host.service.link_ready("m1", mac_of(9))
        assert host.told[-1] == ("m1", None)
        await host.until(lambda: "m1" in host.leases)
    assert int(host.leases["m1"].ip) == FIRST_IP + 9
    assert wire.heard[-2][0] == DISCOVER


async def test_link_ready_again_changes_nothing(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1, 1)
        await host.until(lambda: "m1" in host.leases)
        host.ready(1)
        host.service.link_ready("stranger", mac_of(5))
        await asyncio.sleep(0.1)
    assert len(wire.heard) == 2


async def test_a_link_that_went_and_came_back_keeps_its_lease_and_confirms_it(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        host.service.link_gone("m1")
        assert host.status(1).state == "stopped"
        assert host.service.stored() == host.leases
        host.ready(1)
        await host.until(lambda: host.status(1).state == "bound")
    assert [kind for kind, *_ in wire.heard] == [DISCOVER, REQUEST, REQUEST]
    assert None not in [lease for _, lease in host.told]


async def test_two_links_with_one_mac_do_not_share_a_lease(host):
    host.want(1, 2)
    async with host.running():
        host.service.link_ready("m1", mac_of(1))
        host.service.link_ready("m2", mac_of(1))
        await host.until(lambda: "m1" in host.leases)
    assert "m2" not in host.leases
    assert "m1 has the same MAC" in host.status(2).last_error


async def test_what_is_no_longer_wanted_is_gone_with_a_release_and_no_other_word(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 2)
        wire.heard.clear()
        host.want(2)
        assert host.told[-1] == ("m1", None)
        assert [status.link for status in host.service.status()] == ["m2"]
        await asyncio.sleep(0.05)
        assert (released(wire), len(wire.heard)) == ([1], 1)
    assert set(host.make().stored()) == {"m2"}


@pytest.mark.slow
async def test_one_address_for_two_of_our_links_is_taken_once(host, wire):
    def careless(kind, mac, xid, wanted):
        if kind in (DISCOVER, REQUEST):
            wire.reply(OFFER if kind == DISCOVER else ACK, mac, xid, FIRST_IP)

    wire.script = careless
    host.want(1, 2)
    async with host.running():
        host.ready(1, 2)
        await host.until(lambda: len(host.leases) == 1 and host.service.counters["refused"] >= 2)
        (winner,) = host.leases
        loser = 2 if winner == "m1" else 1
        await host.until(lambda: f"which {winner} has" in host.status(loser).last_error)  # until its next attempt
        assert len(wire.kinds(REQUEST)) == 1
        wire.script = wire.serve
        await host.until(lambda: len(host.leases) == 2)


async def test_answers_for_others_malformed_and_late_ones_are_counted_and_change_nothing(host, wire):
    def confuse(kind, mac, xid, wanted):
        reply = OFFER if kind == DISCOVER else ACK
        for other in (b"\x02\0\0\0\0\x01", SERVER_MAC):
            wire._far.send(datagram(answer(reply, xid=xid, ip=FIRST_IP + 7, mac=other)))
        wire.reply(reply, mac, xid ^ 1, FIRST_IP + 7)
        wire._far.send(datagram(answer(reply, xid=xid, ip=FIRST_IP + 7, mac=mac, o51=b"\xff")))
        wire._far.send(datagram(answer(reply, xid=xid, ip=FIRST_IP + 7, mac=mac), checksum=0x1111))
        wire.serve(kind, mac, xid, wanted)
        wire.serve(kind, mac, xid, wanted)

    wire.script = confuse
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
    assert int(host.leases["m1"].ip) == FIRST_IP + 1
    counters = host.service.counters
    assert (counters["foreign"], counters["malformed"], counters["late"]) == (4, 4, 2)
    assert len(wire.heard) == 2


@pytest.mark.slow
async def test_without_carrier_nothing_is_sent_and_with_it_all_is_confirmed(host, wire):
    host.want(1, 2)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        host.service.carrier("up0", False)
        assert "no carrier" in host.status(1).last_error
        wire.heard.clear()
        host.ready(2)
        await asyncio.sleep(0.1)
        assert wire.heard == []
        assert host.service.stored() == host.leases
        host.service.carrier("up0", True)
        await host.until(lambda: host.status(1).state == host.status(2).state == "bound")
        assert [kind for kind, mac, *_ in wire.heard if mac[-1] == 1] == [REQUEST]


async def test_a_flapping_carrier_is_held_back(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        for _ in range(6):
            host.service.carrier("up0", False)
            host.service.carrier("up0", True)
        assert host.status(1).next_at - host.clock.boottime() > 4


@pytest.mark.slow
async def test_after_a_sleep_every_lease_is_confirmed_or_gone(host, wire, monkeypatch):
    monkeypatch.setattr("neod.dhcp.runner.TICK_S", 0.05)
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        wire.heard.clear()
        host.clock.ahead_s += 60
        await host.until(lambda: host.status(1).state == "bound" and wire.heard)
        assert [kind for kind, *_ in wire.heard] == [REQUEST], "not yet due for renewal, asked all the same"
        wire.script = lambda *_: None
        host.clock.ahead_s += 4000
        await host.until(lambda: host.told[-1] == ("m1", None))


@pytest.mark.slow
async def test_a_parent_that_is_replaced_is_listened_to_again(host, wire, monkeypatch):
    monkeypatch.setattr("neod.dhcp.runner.TICK_S", 0.05)
    host.want(1, 2)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        host.service.link_gone("m1")
        wire.gone = True
        await host.until(lambda: "cannot listen on up0" in host.service.degraded)
        host.ready(2)
        wire.gone, wire.index = False, 8
        await host.until(lambda: "m2" in host.leases)
        assert wire.opened == 2
        assert "up0" not in host.service.degraded


async def test_a_disk_that_fails_is_shown_and_stops_nothing(host, wire, monkeypatch):
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(files, "write_atomically", lambda *_: (_ for _ in ()).throw(full))
    host.disk_works = False
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "No space left" in host.service.degraded)
        await host.until(lambda: "m1" in host.leases)


@pytest.mark.slow
async def test_a_disk_that_hangs_is_shown_and_holds_up_neither_a_lease_nor_the_end(host, wire, monkeypatch):
    answer = threading.Event()
    monkeypatch.setattr(files, "write_atomically", lambda *_: answer.wait())
    monkeypatch.setattr(lease_writer, "WAIT_S", 0.05)
    monkeypatch.setattr(lease_writer, "FLUSH_S", 0.05)
    host.disk_works = False
    host.want(1, 2)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        assert "the disk has not answered" in host.service.degraded
        host.ready(2)
        await host.until(lambda: "m2" in host.leases)
    assert not answer.is_set()
    answer.set()


async def test_a_new_lease_is_on_disk_when_it_is_published_and_a_mere_extension_later(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        on_disk = host.make().stored()["m1"]
        assert on_disk == host.leases["m1"]
        host.service.link_gone("m1")
        host.ready(1)
        await host.until(lambda: len(host.told) == 2)
        assert host.make().stored()["m1"] == on_disk != host.leases["m1"]
    kept = host.make().stored()["m1"]
    assert kept == host.leases["m1"], "written at the end"


async def test_a_refused_lease_is_on_disk_with_its_new_end(host, wire):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        wire.script = lambda kind, mac, xid, _: wire.reply(NAK, mac, xid)
        host.service.link_gone("m1")
        host.ready(1)
        await host.until(lambda: host.service.counters["naks"])
        soonest = host.clock.boottime() + fsm.NAK_GRACE_S
        await host.until(lambda: host.on_disk()["m1"].lease.expires_at <= soonest)


async def test_a_parent_that_is_not_there_is_named_with_the_reason(host, wire):
    wire.open_dhcp = lambda link: rawsocket.PacketSocket(link, 0x0800, ())
    host.want(1)
    async with host.running():
        await host.until(lambda: "cannot listen on up0: there is no such link" in host.service.degraded)


async def test_an_answer_that_cannot_be_used_is_the_reason_until_one_can(host, wire):
    def short(kind, mac, xid, wanted):
        wire._far.send(datagram(answer(OFFER, xid=xid, ip=FIRST_IP + 1, mac=mac, o51=b"\1")))

    wire.script = short
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: host.status(1).last_error)
        why = "the answer of 10.77.0.1 (02:53:00:00:00:ff) cannot be used: OFFER with option 51 of 1 bytes, not 4"
        assert host.status(1).last_error == why
        assert host.service.counters["malformed"] >= 1
        wire.script = wire.serve
        await host.until(lambda: "m1" in host.leases)
        assert not host.status(1).last_error


async def test_what_is_left_out_of_offers_and_acknowledgements_is_counted(host, wire):
    def generous(kind, mac, xid, wanted):
        reply = OFFER if kind == DISCOVER else ACK
        odd = {"o3": b"\1", "o26": b"\0\1"}
        wire._far.send(datagram(answer(reply, xid=xid, ip=FIRST_IP + 1, mac=mac, **odd)))

    wire.script = generous
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        assert len(host.leases["m1"].left_out) == 2
        assert host.service.counters["left_out"] == 4
        assert host.service.counters["malformed"] == 0


async def test_clients_that_come_after_a_while_without_any_have_port_68_held_for_them(host):
    host.want()
    async with host.running():
        await host.until(lambda: host.service._tick_at == FOREVER)
        assert "UDP port 68" not in host.service.degraded
        host.want(1)
        await host.until(lambda: "UDP port 68" in host.service.degraded)


async def test_a_mac_is_ours_no_longer_when_nothing_of_it_is_guarded(host, monkeypatch):
    monkeypatch.setattr(runner, "TICK_S", 0.02)
    executor, ip = host.service._executor, IPv4Address("10.77.1.1")
    async with host.running():
        host.service.guard("m1", "up0", mac_of(1), ip, leased=False)
        await host.until(lambda: executor.owner(bytes.fromhex(mac_of(1).replace(":", ""))) == ("up0", "m1"))
        host.service.guard("m1", "up0", mac_of(2), ip, leased=False)
        await host.until(lambda: executor.owner(bytes.fromhex(mac_of(1).replace(":", ""))) is None)
        host.service.release("m1", "up0", ip)
        await host.until(lambda: not executor.guards)
        await host.until(lambda: host.service._tick_at == FOREVER)


async def test_a_port_68_that_others_hold_is_shown_and_stops_nothing(host):
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: "m1" in host.leases)
        assert "port 68" in host.service.degraded


@pytest.mark.slow
async def test_a_refusal_is_reported_once_a_second_at_most(host, wire):
    wire.script = lambda kind, mac, xid, wanted: wire.reply(OFFER if kind == DISCOVER else NAK, mac, xid)
    begun = host.clock.boottime()
    host.want(1)
    async with host.running():
        host.ready(1)
        await host.until(lambda: host.service.counters["naks"] >= 2)
        naks = host.service.counters["naks"]  # more than two where the machine is slow
        assert len(wire.kinds(REQUEST)) in (naks, naks + 1), "a try is refused once"
        assert host.clock.boottime() - begun >= (naks - 1) * timers.NAK_FIRST_S
        assert [event for event, _ in host.logged].count("dhcp.refused") == naks
        assert host.status(1).attempts <= 1
