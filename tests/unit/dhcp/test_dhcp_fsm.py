"""The state machine: every way through it, in a world whose clock the test turns."""

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.dhcp_messages import IP, SERVER, SERVER_MAC, address, answer

from neod.dhcp import conflict_check, fsm
from neod.dhcp.packet import ACK, DISCOVER, NAK, OFFER, REQUEST, decode
from neod.dhcp.state import Announce, AskGateway, Phase, Probe, Publish, Send, Shorten, State, Withdraw
from neod.model.facts import FOREVER

OTHER_IP = IP + 1
OTHER_SERVER = SERVER + 1
RIVAL = bytes.fromhex("02aa00000001")


class World:
    """One client and the clock; keeps what it asked for."""

    def __init__(self, seed=1, now=1000.0):
        self.rng, self.now, self.state = Random(seed), now, State("m1")
        self.done = []

    def take(self, step):
        self.state, actions = step
        self.done = list(actions)
        return self.done

    def start(self, **options):
        return self.take(fsm.start(self.state, self.now, self.rng, **options))

    def stop(self):
        return self.take(fsm.stop(self.state, "no link"))

    def timer(self):
        """Go to the moment the client waits for."""
        self.now = max(self.now, min(self.state.retry_at, self.ends_at))
        return self.take(fsm.timer(self.state, self.now, self.rng))

    def reply(self, kind, *, ip=IP, xid=None, server=SERVER, sender=SERVER_MAC, after=0.01, **options):
        self.now += after
        options.setdefault("o54", server.to_bytes(4, "big"))
        xid = self.state.xid if xid is None else xid
        return self.take(
            fsm.received(self.state, decode(answer(kind, xid=xid, ip=ip, **options)), sender, self.now, self.rng)
        )

    def taken_here(self, kind, ip=IP, holder="lo"):
        """A server gives an address that this host has on *holder*."""
        reply = decode(answer(kind, xid=self.state.xid, ip=ip, o54=SERVER.to_bytes(4, "big")))
        return self.take(conflict_check.taken_here(self.state, reply, holder, self.now, self.rng))

    def claimed(self, ip=IP, mac=RIVAL):
        """Somebody says by ARP that *ip* is at *mac*."""
        return self.take(conflict_check.claimed(self.state, ip, mac, self.now))

    @property
    def ends_at(self):
        return self.state.lease.expires_at if self.state.lease else FOREVER

    @property
    def phase(self):
        return self.state.phase

    def sent(self):
        """Return the only request that the last event sent."""
        (send,) = [action for action in self.done if isinstance(action, Send)]
        return send

    def bound(self, **options):
        """Take the client all the way to BOUND."""
        self.start()
        self.timer()
        self.reply(OFFER, **options)
        self.reply(ACK, **options)
        if self.phase is Phase.PROBING:
            self.timer()
        assert self.phase is Phase.BOUND
        return self

    def renewing(self):
        self.bound()
        self.timer()
        assert self.phase is Phase.RENEWING
        return self

    def rebinding(self):
        self.renewing()
        while self.phase is Phase.RENEWING:
            self.timer()
        assert self.phase is Phase.REBINDING
        return self


@pytest.fixture
def world():
    return World()


# ── the straight way ───────────────────────────────────────────────────────────────────────────


def test_a_lease_takes_four_messages_and_one_probe(world):
    world.start()
    assert (world.phase, world.state.retry_at) == (Phase.INIT, world.now)
    world.timer()
    assert (world.phase, world.sent().request.type) == (Phase.SELECTING, DISCOVER)
    assert world.reply(OFFER)[1] == Probe(IP), "the probe goes out with the REQUEST"
    request = world.sent().request
    assert (request.type, request.requested, request.server, request.ciaddr) == (REQUEST, IP, SERVER, 0)
    asked_at = world.now
    assert world.reply(ACK) == []
    assert (world.phase, world.state.retry_at) == (Phase.PROBING, asked_at + conflict_check.PROBE_WAIT_S)
    publish, announce = world.timer()
    assert world.phase is Phase.BOUND
    assert publish == Publish(world.state.lease)
    assert announce == Announce(IP)
    assert world.state.lease.bound_at == asked_at
    assert world.state.retry_at == world.state.lease.renew_at


def test_an_ack_that_comes_after_the_probe_binds_at_once(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    assert isinstance(world.reply(ACK, after=0.9)[0], Publish)
    assert world.phase is Phase.BOUND


def test_the_lease_counts_from_the_first_request(world):
    """Which of several requests was answered is unknown; the first is the safe guess."""
    world.start()
    world.timer()
    world.reply(OFFER)
    first = world.now
    world.timer()
    world.reply(ACK)
    assert world.state.lease.bound_at == first


def test_discover_is_repeated_with_one_xid_and_growing_pauses(world):
    world.start()
    sent, times = [], []
    for _ in range(13):
        world.timer()
        sent.append(world.sent().request)
        times.append(world.now)
    gaps = [b - a for a, b in pairwise(times)]
    assert len({request.xid for request in sent}) == 1, "a late answer still counts"
    assert sum(gaps[:5]) < 12.5, "the first tries come early"
    assert all(1.5 * a < b for a, b in pairwise(gaps[7:11]))
    assert all(63 <= gap <= 65 for gap in gaps[10:])
    assert [request.secs for request in sent] == [int(at - times[0]) for at in times]


def test_only_every_second_try_from_the_third_on_asks_for_broadcast(world):
    world.start()
    flags = []
    for _ in range(6):
        world.timer()
        flags.append(world.sent().request.broadcast)
    assert flags == [False, False, True, False, True, False]


def test_a_server_that_offers_but_does_not_confirm_is_left(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    kinds = []
    while len(kinds) < fsm.REQUEST_TRIES:
        world.timer()
        kinds.append(world.sent().request.type)
    assert kinds == [REQUEST] * (fsm.REQUEST_TRIES - 1) + [DISCOVER]
    assert "does not confirm" in world.state.error


# ── answers that do not fit ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [OFFER, ACK, NAK])
def test_an_answer_with_another_xid_changes_nothing(world, kind):
    for prepare in (lambda: world.start(), world.timer, lambda: world.reply(OFFER)):
        prepare()
        before = world.state
        assert world.reply(kind, xid=world.state.xid ^ 1) == []
        assert world.state == before


def test_answers_out_of_turn_change_nothing(world):
    world.start()
    world.timer()
    before = world.state
    assert world.reply(ACK) == []
    assert world.reply(NAK) == []
    assert world.state == before
    world.reply(OFFER)
    before = world.state
    assert world.reply(OFFER, ip=OTHER_IP) == []
    assert world.state == before
    world.reply(ACK)
    world.timer()
    before = world.state
    for kind in (OFFER, ACK, NAK):
        assert world.reply(kind, ip=OTHER_IP) == []
    assert world.state == before


def test_an_ack_after_a_nak_is_ignored(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    xid = world.state.xid
    world.reply(NAK)
    assert world.reply(ACK, xid=xid) == []
    assert world.state.lease is None


def test_a_nak_of_a_server_that_was_not_chosen_is_ignored(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    assert world.reply(NAK, server=OTHER_SERVER) == []
    assert world.phase is Phase.REQUESTING


# ── NAK ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["renewing", "rebinding"])
def test_after_a_nak_the_old_lease_stays_until_the_new_one_is_bound(world, how):
    getattr(world, how)()
    world.reply(NAK, o56=b"moved")
    assert (world.phase, str(world.state.lease.ip)) == (Phase.INIT, "10.77.1.5")
    assert "moved" in world.state.error
    assert world.state.retry_at - world.now == 1
    world.timer()
    assert world.sent().request.requested == 0, "the address was refused: do not ask for it"
    world.reply(OFFER, ip=OTHER_IP)
    world.reply(ACK, ip=OTHER_IP)
    publish, _ = world.timer()
    assert int(publish.lease.ip) == OTHER_IP
    assert world.state.naks == 0


def test_after_a_nak_the_old_lease_lasts_no_longer_than_the_grace(world):
    world.renewing()
    world.reply(NAK)
    refused_at = world.now
    while world.state.lease:
        done = world.timer()
    assert isinstance(done[0], Withdraw)
    assert world.now == refused_at + fsm.NAK_GRACE_S


def test_a_server_that_always_refuses_is_asked_once_a_minute(world):
    world.start()
    pauses = []
    for _ in range(9):
        world.timer()
        world.reply(OFFER)
        world.reply(NAK)
        pauses.append(world.state.retry_at - world.now)
    assert pauses[0] == 1
    assert pauses[-1] >= 48


# ── renewal ────────────────────────────────────────────────────────────────────────────────────


def test_a_renewal_goes_to_its_server_alone(world):
    world.bound()
    world.timer()
    send = world.sent()
    assert world.phase is Phase.RENEWING
    assert (send.server_mac, send.server) == (SERVER_MAC, SERVER)
    assert (send.request.ciaddr, send.request.requested, send.request.server) == (IP, 0, 0)
    assert not send.request.broadcast


def test_a_renewal_without_a_known_mac_is_broadcast(world):
    world.bound()
    world.state = world.state._replace(server_mac=b"")
    world.timer()
    assert world.sent().server_mac == b""


def test_a_rebinding_goes_to_everybody(world):
    world.rebinding()
    send = world.sent()
    assert (send.server_mac, send.server, send.request.ciaddr) == (b"", 0, IP)
    assert world.now >= world.state.lease.rebind_at


def test_an_extended_lease_is_published_without_probe_or_announcement(world):
    world.renewing()
    before = world.state.lease
    sent_at = world.now
    (publish,) = world.reply(ACK)
    assert publish.lease.ip == before.ip
    assert publish.lease.bound_at == sent_at
    assert publish.lease.expires_at == sent_at + 3600


def test_a_renewal_to_another_gateway_is_published(world):
    world.renewing()
    (publish,) = world.reply(ACK, o3=address("10.77.0.2"))
    assert str(publish.lease.gateway) == "10.77.0.2"


def test_another_address_at_renewal_is_probed_while_the_old_lease_holds(world):
    world.renewing()
    assert world.reply(ACK, ip=OTHER_IP) == [Probe(OTHER_IP)]
    assert int(world.state.lease.ip) == IP
    publish, announce = world.timer()
    assert int(publish.lease.ip) == announce.ip == OTHER_IP


def test_any_server_may_answer_a_rebinding_and_is_asked_from_then_on(world):
    world.rebinding()
    world.reply(ACK, server=OTHER_SERVER, sender=b"\x02\0\0\0\0\x09")
    assert world.phase is Phase.BOUND
    world.timer()
    assert (world.sent().server, world.sent().server_mac) == (OTHER_SERVER, b"\x02\0\0\0\0\x09")


def test_renewals_are_at_least_a_minute_apart_and_few(world):
    world.bound()
    times, rebind_at = [], world.state.lease.rebind_at
    while world.state.lease:
        world.timer()
        if any(isinstance(action, Send) and action.request.type == REQUEST for action in world.done):
            times.append(world.now)
    assert all(b - a >= 60 for a, b in pairwise(times) if b != rebind_at)
    assert rebind_at in times
    assert 5 <= len(times) <= 12


def test_at_its_end_a_lease_is_withdrawn_and_a_new_one_sought(world):
    world.rebinding()
    ends_at = world.state.lease.expires_at
    while world.state.lease:
        done = world.timer()
    assert world.now == ends_at
    assert isinstance(done[0], Withdraw)
    assert (done[1].request.type, done[1].request.requested) == (DISCOVER, IP)


def test_an_ack_after_the_end_of_the_lease_does_not_bring_it_back(world):
    world.rebinding()
    done = world.reply(ACK, after=3600)
    assert isinstance(done[0], Withdraw)
    assert len(done) == 1
    assert world.state.lease is None


def test_a_lease_that_ended_before_its_ack_came_is_not_taken(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    assert world.reply(ACK, after=20, o51=(10).to_bytes(4, "big")) == []
    assert (world.phase, world.state.lease) == (Phase.INIT, None)


def test_a_lease_without_end_is_kept_without_a_packet(world):
    world.bound(o51=b"\xff\xff\xff\xff")
    assert world.state.retry_at == FOREVER


# ── duplicate addresses ────────────────────────────────────────────────────────────────────────


def test_an_address_that_another_link_of_ours_has_is_asked_about_again_soon_but_not_indefinitely(world):
    world.start()
    pauses = []
    for _ in range(6):
        world.timer()
        world.take(fsm.duplicate_offer(world.state, IP, "m2", world.now))
        pauses.append(world.state.retry_at - world.now)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses[-1] > 3
    assert "m2" in world.state.error
    world.timer()
    assert not fsm.is_unanswered(world.state)


def test_without_any_offer_it_is_unanswered(world):
    world.start()
    world.timer()
    assert not fsm.is_unanswered(world.state)  # as yet
    world.timer()
    assert fsm.is_unanswered(world.state)


# ── INIT-REBOOT ────────────────────────────────────────────────────────────────────────────────


def rebooting(world):
    lease = world.bound().state.lease
    world.state = State("m1", lease=lease)
    world.start()
    world.timer()
    assert world.phase is Phase.REBOOTING
    return lease


def test_a_known_lease_is_confirmed_without_discover(world):
    rebooting(world)
    request = world.sent().request
    assert (request.type, request.requested, request.server, request.ciaddr) == (REQUEST, IP, 0, 0)
    (publish,) = world.reply(ACK)
    assert (world.phase, int(publish.lease.ip)) == (Phase.BOUND, IP)


def test_an_address_found_on_the_link_is_confirmed(world):
    world.start(held=IP)
    world.timer()
    assert (world.phase, world.sent().request.requested) == (Phase.REBOOTING, IP)
    (publish,) = world.reply(ACK)
    assert int(publish.lease.ip) == IP


def test_a_lease_goes_before_an_address_found(world):
    lease = world.bound().state.lease
    world.state = State("m1", lease=lease)
    world.start(held=OTHER_IP)
    world.timer()
    assert world.sent().request.requested == IP


def test_another_address_than_the_one_asked_for_is_probed(world):
    world.start(held=IP)
    world.timer()
    assert world.reply(ACK, ip=OTHER_IP) == [Probe(OTHER_IP)]


def test_without_an_answer_the_gateway_decides_for_the_old_lease(world):
    lease = rebooting(world)
    begun = world.now
    asked = []
    while world.phase is Phase.REBOOTING:
        asked += [action for action in world.timer() if isinstance(action, AskGateway)]
        world.take(fsm.gateway_seen(world.state))
    assert asked[0] == AskGateway(IP, SERVER)
    assert (world.phase, world.state.lease, world.state.retry_at) == (Phase.BOUND, lease, lease.renew_at)
    assert world.now - begun == fsm.REBOOT_GIVE_UP_S


def test_without_an_answer_and_a_gateway_discover_begins_and_the_lease_stays(world):
    lease = rebooting(world)
    begun = world.now
    while world.phase is Phase.REBOOTING:
        world.timer()
    assert (world.phase, world.state.lease) == (Phase.SELECTING, lease)
    assert world.now - begun == fsm.REBOOT_GIVE_UP_S
    world.reply(OFFER)
    assert not [action for action in world.done if isinstance(action, Probe)], "the address is on our link"
    assert isinstance(world.reply(ACK)[0], Publish)


def test_who_had_to_wait_for_its_turn_gets_all_its_tries_before_it_gives_up(world):
    rebooting(world)
    tries = 1
    while world.phase is Phase.REBOOTING:
        world.now += 20
        world.timer()
        tries += world.sent().request.type == REQUEST
    assert tries == fsm.REBOOT_TRIES


def test_a_nak_at_reboot_leads_to_discover(world):
    rebooting(world)
    world.reply(NAK)
    world.timer()
    assert world.sent().request.type == DISCOVER


# ── links and carriers ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["start", "bound", "renewing", "rebinding"])
def test_a_stopped_client_sends_nothing_and_its_lease_ends_in_time(world, how):
    getattr(world, how)()
    world.stop()
    assert world.state.retry_at == FOREVER
    if world.state.lease:
        assert [type(action) for action in world.timer()] == [Withdraw]
    assert (world.phase, world.state.lease) == (Phase.STOPPED, None)


def test_a_client_that_starts_again_confirms_its_lease(world):
    world.bound()
    world.stop()
    world.start(delay_s=0.7)
    assert (world.phase, world.state.retry_at) == (Phase.REBOOTING, world.now + 0.7)


def test_an_answer_to_a_stopped_client_is_ignored(world):
    world.start()
    world.timer()
    world.stop()
    assert world.reply(OFFER) == []
    assert world.phase is Phase.STOPPED


def test_after_a_silence_what_waits_goes_out_at_once(world):
    world.start()
    for _ in range(8):
        world.timer()
    world.take(fsm.retry_immediately(world.state, world.now))
    assert world.state.retry_at == world.now
    world.timer()
    assert world.state.retry_at - world.now < 3, "and soon again should it be lost"


def test_after_a_silence_a_pause_that_was_ordered_goes_on(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    world.reply(NAK)
    before = world.state
    world.take(fsm.retry_immediately(world.state, world.now))
    assert world.state == before


# ── which server ───────────────────────────────────────────────────────────────────────────────


def expired(world):
    world.bound()
    while world.state.lease:
        world.timer()
    world.state = world.state._replace(attempt=0, phase=Phase.INIT, retry_at=world.now)
    world.timer()
    assert world.phase is Phase.SELECTING
    return world


def test_the_offer_of_the_last_server_goes_first(world):
    expired(world)
    assert world.reply(OFFER, ip=OTHER_IP, server=OTHER_SERVER) == []
    world.reply(OFFER)
    assert world.sent().request.server == SERVER


def test_another_servers_offer_is_taken_when_the_last_one_keeps_silent(world):
    expired(world)
    since = world.now
    world.reply(OFFER, ip=OTHER_IP, server=OTHER_SERVER)
    world.timer()
    assert world.sent().request.server == OTHER_SERVER
    assert world.now - since == pytest.approx(fsm.PREFER_S)


def test_without_history_the_first_offer_wins(world):
    world.start()
    world.timer()
    world.reply(OFFER, server=OTHER_SERVER)
    assert world.sent().request.server == OTHER_SERVER


# ── whatever happens ───────────────────────────────────────────────────────────────────────────

LEASE_TIMES = st.sampled_from([0, 1, 9, 10, 60, 120, 3600, 2**32 - 2, 2**32 - 1])
EVENTS = st.one_of(
    st.tuples(st.just("timer")),
    st.tuples(st.just("wait"), st.floats(0, 5000)),
    st.tuples(
        st.just("reply"),
        st.sampled_from([OFFER, ACK, NAK]),
        st.sampled_from([IP, OTHER_IP]),
        st.sampled_from([SERVER, OTHER_SERVER]),
        st.booleans(),
        LEASE_TIMES,
        LEASE_TIMES,
        LEASE_TIMES,
        st.floats(0, 3),
    ),
    st.tuples(st.just("claimed"), st.sampled_from([0, IP, OTHER_IP])),
    st.tuples(st.just("acquitted")),
    st.tuples(st.just("taken_here"), st.sampled_from([IP, OTHER_IP])),
    st.tuples(st.just("start"), st.sampled_from([0, IP]), st.floats(0, 30)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("gateway_seen")),
    st.tuples(st.just("hurry")),
    st.tuples(st.just("duplicate_offer")),
)


def happen(world, event):
    match event:
        case ("timer",):
            if min(world.state.retry_at, world.ends_at) != FOREVER:
                world.timer()
        case ("wait", seconds):
            world.now += seconds
            world.take(fsm.timer(world.state, world.now, world.rng))
        case ("reply", kind, ip, server, fits, lease_s, t1, t2, after):
            times = {f"o{code}": value.to_bytes(4, "big") for code, value in ((51, lease_s), (58, t1), (59, t2))}
            ip = 0 if kind == NAK else ip
            world.reply(kind, ip=ip, server=server, xid=world.state.xid ^ (not fits), after=after, **times)
        case ("claimed", ip):
            world.claimed(ip)
        case ("acquitted",):
            world.take(conflict_check.acquitted(world.state, RIVAL, world.now))
        case ("taken_here", ip):
            world.taken_here(OFFER if world.phase is Phase.SELECTING else ACK, ip)
        case ("start", held, delay_s):
            world.start(held=held, delay_s=delay_s)
        case ("stop",):
            world.stop()
        case ("gateway_seen",):
            world.take(fsm.gateway_seen(world.state))
        case ("hurry",):
            world.take(fsm.retry_immediately(world.state, world.now))
        case ("duplicate_offer",):
            world.take(fsm.duplicate_offer(world.state, IP, "m2", world.now))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=40), st.integers(0, 5))
def test_whatever_happens_published_leases_hold_and_end_in_time(events, seed):
    world = World(seed)
    world.start()
    published = None
    for event in events:
        happen(world, event)
        for action in world.done:
            if isinstance(action, Publish):
                assert action.lease.expires_at > world.now, "nothing is published that has ended"
                published, kept_until = action.lease, action.lease.expires_at
            elif isinstance(action, Shorten):
                assert published is not None and action.lease.expires_at <= published.expires_at
                assert replace(action.lease, expires_at=0) == replace(published, expires_at=0)
                kept_until = action.lease.expires_at
            elif isinstance(action, Withdraw):
                assert published is not None, "only what was published is withdrawn"
                published = None
        held = world.state.lease
        assert (held is None) == (published is None), "the state and what was told agree"
        if held is not None:
            assert replace(held, expires_at=0) == replace(published, expires_at=0)
            assert held.expires_at == kept_until, "whoever writes it down knows its end"
            if event[0] in ("timer", "wait", "reply"):
                assert world.now < held.expires_at, "no lease outlives its end"
        if event[0] in ("timer", "wait"):
            assert world.state.retry_at > world.now or world.phase is Phase.INIT, "no timer is left in the past"


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.integers(0, 5))
def test_whatever_happened_a_server_that_answers_gives_a_lease(events, seed):
    """No walk through the states ends in one that cannot be left."""
    world = World(seed)
    world.start()
    for event in events:
        happen(world, event)
    world.start()
    deadline = world.now + 3600
    while not (world.phase is Phase.BOUND and world.state.lease.server == IPv4Address(SERVER)):
        assert world.now < deadline
        world.timer()
        for kind in (OFFER, ACK):
            world.reply(kind, ip=IP + 7, after=0.001)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), LEASE_TIMES, LEASE_TIMES, LEASE_TIMES)
def test_no_grant_makes_a_client_send_without_pause(seed, lease_s, t1, t2):
    """With a server that answers everything, a client sends at most a packet a second."""
    world = World(seed)
    times = {f"o{code}": value.to_bytes(4, "big") for code, value in ((51, lease_s), (58, t1), (59, t2))}
    world.bound(**times)
    begun, sent = world.now, 0
    while world.now < begun + 300 and world.state.retry_at != FOREVER:
        world.timer()
        sent += sum(isinstance(action, Send) for action in world.done)
        world.reply(ACK, after=0.001, **times)
    assert sent <= 300


def test_a_silent_network_gets_few_packets(world):
    world.start()
    begun, sent = world.now, 0
    while world.now < begun + 3600:
        world.timer()
        sent += sum(isinstance(action, Send) for action in world.done)
    assert sent <= 70


# ── options that are not said twice ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("left_out", [None, b"\1\2\3"], ids=["left out", "malformed"])
def test_an_ack_that_leaves_out_what_was_offered_grants_what_was_offered(world, left_out):
    world.start()
    world.timer()
    world.reply(OFFER, o26=(1400).to_bytes(2, "big"), o3=address("10.77.0.9"))
    world.reply(ACK, o1=left_out, o3=left_out, o26=left_out, o51=None)
    world.timer()
    lease = world.state.lease
    assert (lease.prefix_length, str(lease.gateway), lease.mtu) == (16, "10.77.0.9", 1400)
    assert lease.expires_at - lease.bound_at == 3600


@pytest.mark.parametrize("phase", ["renewing", "rebinding", "reboot"])
def test_an_ack_that_leaves_out_what_the_lease_has_extends_it_as_it_is(world, phase):
    world.bound(o26=(1400).to_bytes(2, "big"))
    before = world.state.lease
    if phase == "reboot":
        world.start()
        world.timer()
    else:
        world.now = before.renew_at if phase == "renewing" else before.rebind_at
        world.timer()
    world.reply(ACK, o1=None, o3=None, o26=None)
    after = world.state.lease
    assert after.expires_at > before.expires_at
    assert replace(after, bound_at=0, renew_at=0, rebind_at=0, expires_at=0) == replace(
        before, bound_at=0, renew_at=0, rebind_at=0, expires_at=0
    )


def test_an_ack_without_a_server_identifier_is_that_of_the_server_that_was_asked(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    data = answer(ACK, xid=world.state.xid, o54=None)
    world.take(fsm.received(world.state, decode(data), SERVER_MAC, world.now, world.rng))
    world.timer()
    assert int(world.state.lease.server) == SERVER


def test_an_ack_without_a_server_identifier_is_nobodys_where_it_gives_another_address(world):
    rebooting(world)
    data = answer(ACK, xid=world.state.xid, ip=OTHER_IP, o54=None)
    assert world.take(fsm.received(world.state, decode(data), SERVER_MAC, world.now, world.rng)) == []
    assert (world.phase, world.state.error) == (Phase.REBOOTING, "the ACK does not say whose it is")


@pytest.mark.parametrize("left_out", [{"o1": None}, {"o3": None}, {"o54": None}, {"o1": b"\xff"}, {"o3": bytes(4)}])
def test_where_no_lease_has_what_an_ack_leaves_out_an_offer_is_asked_for(world, left_out):
    world.start(held=IP)
    world.timer()
    data = answer(ACK, xid=world.state.xid, **{"o54": SERVER.to_bytes(4, "big"), **left_out})
    assert world.take(fsm.received(world.state, decode(data), SERVER_MAC, world.now, world.rng)) == []
    world.timer()
    request = world.sent().request
    assert (request.type, request.requested) == (DISCOVER, IP)
    world.reply(OFFER)
    world.reply(ACK)
    if world.phase is Phase.PROBING:
        world.timer()
    lease = world.state.lease
    assert (int(lease.ip), lease.prefix_length, lease.gateway is None) == (IP, 16, False)


# ── whose NAK counts ───────────────────────────────────────────────────────────────────────────


def rebooted(world):
    world.bound()
    world.start()
    world.timer()
    assert world.phase is Phase.REBOOTING


def rebound(world):
    world.rebinding()


@pytest.mark.parametrize("ask", [rebooted, rebound])
def test_another_servers_nak_does_not_count_where_the_leases_own_confirms(world, ask):
    ask(world)
    before = world.state.lease
    for server in (OTHER_SERVER, OTHER_SERVER + 1, OTHER_SERVER):
        assert world.reply(NAK, server=server) == []
    assert isinstance(world.reply(ACK)[0], Publish)
    assert (world.phase, world.state.lease.ip, world.state.naks) == (Phase.BOUND, before.ip, 0)
    assert world.state.lease.expires_at > before.expires_at


@pytest.mark.parametrize("ask", [rebooted, rebound])
def test_another_servers_nak_counts_when_nobody_confirms_within_the_round(world, ask):
    ask(world)
    world.reply(NAK, server=OTHER_SERVER, o56=b"not mine")
    refused_at = world.now
    (shorten,) = world.timer()
    assert world.now <= refused_at + fsm.NAK_ROUND_S
    assert isinstance(shorten, Shorten)
    assert (world.phase, world.state.error) == (Phase.INIT, "10.77.0.2 refused: not mine")
    world.timer()
    assert world.sent().request.requested == IP, "it is not the known server's refusal"
    assert world.reply(OFFER, ip=OTHER_IP, server=OTHER_SERVER) == [], "the known server goes first"
    world.reply(OFFER)
    assert world.sent().request.server == SERVER


@pytest.mark.parametrize("ask", [rebooted, rebound])
def test_the_leases_own_server_is_believed_at_once_and_goes_on_being_preferred(world, ask):
    ask(world)
    world.reply(NAK, server=OTHER_SERVER)
    assert isinstance(world.reply(NAK)[0], Shorten)
    world.timer()
    assert world.sent().request.requested == 0
    assert world.reply(OFFER, ip=OTHER_IP, server=OTHER_SERVER) == []


def test_a_renewal_hears_the_server_that_it_was_sent_to_alone(world):
    world.renewing()
    assert world.reply(NAK, server=OTHER_SERVER) == []
    assert (world.phase, world.state.refused) == (Phase.RENEWING, None)
    world.reply(NAK)
    assert world.phase is Phase.INIT


def test_an_address_found_on_the_link_is_refused_by_whoever_does_when_nobody_confirms(world):
    world.start(held=IP)
    world.timer()
    world.reply(NAK, server=OTHER_SERVER)
    assert world.phase is Phase.REBOOTING
    world.timer()
    assert world.phase is Phase.INIT


def test_a_server_that_offers_what_it_then_refuses_loses_its_preference(world):
    world.bound()
    world.start()
    world.timer()
    for _ in range(fsm.NAKS_PREFERRED + 1):
        world.reply(NAK)
        world.timer()
        world.reply(OFFER, ip=OTHER_IP)
    assert world.state.prefer == 0


def test_the_words_of_a_nak_are_the_reason_until_there_is_a_lease(world):
    world.start()
    world.timer()
    world.reply(OFFER)
    world.reply(NAK, o56=b"port security")
    for _ in range(3):
        assert "10.77.0.1 refused: port security" in world.state.error
        world.timer()
    world.reply(OFFER)
    world.reply(ACK)
    world.timer()
    assert (world.phase, world.state.error, world.state.nak) == (Phase.BOUND, "", "")
