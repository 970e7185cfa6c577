"""Whether an address that a server gives is somebody else's: before it is used, while it is used, and who says so."""

import pytest
from tests.doubles.dhcp_messages import IP, SERVER
from tests.unit.dhcp.test_dhcp_fsm import OTHER_IP, OTHER_SERVER, RIVAL, World

from neod.dhcp import conflict_check
from neod.dhcp.packet import ACK, DECLINE, OFFER
from neod.dhcp.state import Announce, Phase, Probe, Publish, Recheck, Send, State, Withdraw
from neod.model.facts import ProbePolicy

CLAIM = "another host, 02:aa:00:00:00:01, answers for 10.77.1.5"


@pytest.fixture
def world():
    return World()


def kinds(actions):
    return [type(action) for action in actions]


def offered(world, **state):
    world.state = world.state._replace(**state)
    world.start()
    world.timer()
    world.reply(OFFER)
    return world


def rebooting(world, **state):
    """A restart with a lease from the disk: its address is on the link."""
    world.state = State("m1", lease=world.bound().state.lease, **state)
    world.start()
    world.timer()
    assert world.phase is Phase.REBOOTING
    return world


@pytest.mark.parametrize("claimed_at", [OFFER, ACK])
def test_an_address_in_use_is_declined_and_not_taken_again(world, claimed_at):
    offered(world)
    if claimed_at is OFFER:
        assert world.claimed() == [], "DECLINE makes sense only once the server has given the address"
    assert world.reply(ACK) == []
    world.claimed()
    world.timer()
    request = world.sent().request
    assert (request.type, request.requested, request.server, request.ciaddr) == (DECLINE, IP, SERVER, 0)
    assert "02:aa:00:00:00:01" in world.state.error
    assert world.state.retry_at - world.now == conflict_check.DECLINE_PAUSE_S
    world.timer()
    assert world.sent().request.requested == 0
    assert world.reply(OFFER) == [], "offered again, and not taken"
    assert world.state.error == f"offered 10.77.1.5 again: {CLAIM}"
    assert isinstance(world.reply(OFFER, ip=OTHER_IP)[0], Send)


def test_a_declined_address_is_tried_again_later(world):
    offered(world).reply(ACK)
    world.claimed()
    world.timer()
    world.now += conflict_check.SHUNNED_S + 1
    world.timer()
    assert isinstance(world.reply(OFFER)[0], Send)


@pytest.mark.parametrize("ip", [OTHER_IP, 0])
def test_claims_of_other_addresses_do_not_matter(world, ip):
    world.start()
    assert world.claimed(ip) == []
    world.timer()
    world.reply(OFFER)
    world.reply(ACK)
    world.claimed(ip)
    assert isinstance(world.timer()[0], Publish)


def test_whoever_claims_everything_says_nothing_about_this_address(world):
    offered(world).reply(ACK)
    world.claimed()
    world.take(conflict_check.acquitted(world.state, RIVAL, world.now))
    assert kinds(world.timer()) == [Publish, Announce]


def test_an_acquittal_of_somebody_else_changes_nothing(world):
    offered(world).reply(ACK)
    world.claimed()
    world.take(conflict_check.acquitted(world.state, b"\x02\0\0\0\0\x07", world.now))
    world.timer()
    assert world.sent().request.type == DECLINE


# ── what needs no wait ─────────────────────────────────────────────────────────────────────────


def test_an_address_that_we_had_from_this_server_is_used_with_the_ack_and_announced_later(world):
    offered(world, wanted=IP, prefer=SERVER)
    asked_at = world.now
    assert kinds(world.reply(ACK)) == [Publish]
    assert world.timer() == [Announce(IP)]
    assert world.now == asked_at + conflict_check.PROBE_WAIT_S
    assert world.state.retry_at == world.state.lease.renew_at


@pytest.mark.parametrize(("wanted", "prefer"), [(IP, OTHER_SERVER), (OTHER_IP, SERVER)])
def test_another_server_or_another_address_waits(world, wanted, prefer):
    offered(world, wanted=wanted, prefer=prefer)
    if world.phase is Phase.SELECTING:  # the known server is preferred for a while
        world.timer()
    assert (world.reply(ACK), world.phase) == ([], Phase.PROBING)


def test_before_means_that_every_address_waits(world):
    offered(world, wanted=IP, prefer=SERVER, probe=ProbePolicy.BEFORE)
    assert (world.reply(ACK), world.phase) == ([], Phase.PROBING)


def test_off_means_that_nothing_is_asked(world):
    offered(world, probe=ProbePolicy.OFF)
    assert Probe not in kinds(world.done)
    assert kinds(world.reply(ACK)) == [Publish, Announce]
    world.timer()
    assert kinds(world.done) == [Send], "nor at the renewal"


def test_off_means_that_a_claim_does_not_count(world):
    offered(world, probe=ProbePolicy.OFF)
    world.claimed()
    assert kinds(world.reply(ACK)) == [Publish, Announce]


# ── a late answer ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after_s", [0.05, 1.0], ids=["before it is announced", "afterwards"])
def test_a_late_answer_withdraws_and_declines(world, after_s):
    offered(world, wanted=IP, prefer=SERVER).reply(ACK)
    if after_s > conflict_check.PROBE_WAIT_S:
        world.timer()
    world.now += after_s
    world.claimed()
    declined, withdrawn = world.timer()
    assert (declined.request.type, declined.request.requested, declined.request.server) == (DECLINE, IP, SERVER)
    assert isinstance(withdrawn, Withdraw)
    assert withdrawn.why == world.state.error == CLAIM
    assert world.state.lease is None


def test_a_claim_long_after_the_binding_takes_nothing_away(world):
    """Anybody can send ARP: it is shown, and the lease stays in use."""
    world.bound()
    world.now += conflict_check.LATE_S + 1
    assert world.claimed() == []
    assert kinds(world.timer()) == [Send, Recheck]
    assert world.phase is Phase.RENEWING


# ── INIT-REBOOT ────────────────────────────────────────────────────────────────────────────────


def test_init_reboot_asks_with_its_first_request(world):
    rebooting(world)
    assert kinds(world.done) == [Send, Probe]
    world.timer()
    assert Probe not in kinds(world.done)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_what_was_taken_while_we_were_away_is_given_up(world, acknowledged):
    rebooting(world)
    world.claimed()
    if acknowledged:
        assert world.reply(ACK) == []
    while world.phase in (Phase.REBOOTING, Phase.PROBING):
        world.timer()
    assert kinds(world.done) == [Send, Withdraw]
    assert world.sent().request.type == DECLINE
    assert world.state.lease is None


def test_an_address_that_is_on_the_link_stays_there_while_a_claim_is_judged(world):
    rebooting(world)
    world.claimed()
    world.reply(ACK)
    world.take(conflict_check.acquitted(world.state, RIVAL, world.now))
    assert Withdraw not in kinds(world.timer())
    assert world.phase is Phase.BOUND


# ── what this host has itself, and how often anything is declined ──────────────────────────────


@pytest.mark.parametrize("kind", [OFFER, ACK])
def test_an_offered_address_of_this_host_is_refused(world, kind):
    world.start()
    world.timer()
    if kind is ACK:
        world.reply(OFFER)
    world.taken_here(kind)
    assert world.sent().request.type == DECLINE
    assert "which lo of this host has" in world.state.error


def test_an_answer_that_nobody_waits_for_is_not_declined(world):
    world.bound()
    assert world.taken_here(ACK, OTHER_IP) == []


def test_a_renewal_that_gives_an_address_of_this_host_leaves_the_lease(world):
    world.renewing()
    world.taken_here(ACK, OTHER_IP, "ens4")
    assert world.sent().request.requested == OTHER_IP
    assert world.state.lease is not None
    assert Withdraw not in kinds(world.done)


def test_an_address_that_is_reserved_for_us_and_in_use_is_declined_ever_more_rarely(world):
    world.start()
    begun, declined = world.now, 0
    while world.now < begun + 3600:
        world.timer()
        world.reply(OFFER)
        world.reply(ACK)
        world.claimed()
        if world.phase is Phase.PROBING:
            world.timer()
            declined += 1
    assert 3 < declined < 30


def test_a_pool_is_not_emptied(world):
    """Every address that is offered is claimed by another host: an hour costs the server few addresses."""
    world.start()
    begun, ip, declined = world.now, IP, 0
    while world.now < begun + 3600:
        world.timer()
        world.reply(OFFER, ip=ip)
        world.reply(ACK, ip=ip)
        world.claimed(ip)
        if world.phase is Phase.PROBING:
            world.timer()
            declined, ip = declined + 1, ip + 1
    assert 5 < declined < 40
