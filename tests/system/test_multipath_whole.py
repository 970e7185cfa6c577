"""The whole case: a campus host with 24 leases, a proxy server, neod on both, and a transfer that outlives it all."""

from collections.abc import Callable

import pytest
from tests.lab.multipath import Multipath
from tests.lab.netns import poll
from tests.lab.transfer import Transfer

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

PATHS = 24
MBIT = 4.0  # an address: 96 Mbit/s together leave the machine time for everything else
LONGEST_GAP_S = 20.0
"""Bounds are for a busy machine: what is judged is that it goes on, not how fast."""


@pytest.fixture
def lab(laboratory):
    with Multipath(PATHS, rate_mbit=MBIT, server="scripted") as made:
        yield made


def test_a_transfer_outlives_new_leases_deleted_macvlans_and_killed_daemons_and_returns_to_full_rate(lab):
    lab.scripted.renew_s, lab.scripted.rebind_s = 6, 40
    addresses = lab.start("neod")
    with lab.serve_inside("neod") as transfer:
        lab.tune()
        transfer.start(600, addresses[0])
        full(lab)
        before = rate(transfer, 0.0)
        for harm in (new_leases, deleted_macvlans, host_killed, server_killed, both_killed_and_new_leases):
            goes_on(transfer)
            harm(lab, lambda: goes_on(transfer))
            full(lab)
            goes_on(transfer)
            print(f"{harm.__name__}: all {PATHS} carry again, {transfer.mbit_s(5):.0f} of {before:.0f} Mbit/s")
        rate(transfer, 0.6 * before)
        sent, arrived = transfer.finish(120)
        assert arrived == sent
        assert transfer.longest_gap_s() < LONGEST_GAP_S


def new_leases(lab: Multipath, goes_on: Callable[[], None]) -> None:
    old = set(lab.leased())
    lab.scripted.first += 1000
    poll(lambda: len(lab.leased()) == PATHS and not set(lab.leased()) & old, 90, 0.3, "new leases")


def deleted_macvlans(lab: Multipath, goes_on: Callable[[], None]) -> None:
    for number in (1, 5, 9, 24):
        lab.host.ip("link", "del", f"neo{number}")


def host_killed(lab: Multipath, goes_on: Callable[[], None]) -> None:
    lab.host.kill9()
    lab.host.ip("link", "del", "neo7")
    goes_on()
    lab.host.start_neod()


def server_killed(lab: Multipath, goes_on: Callable[[], None]) -> None:
    lab.far.kill9()
    lab.host.ip("link", "del", "neo3")
    goes_on()
    lab.far.start_neod()


def both_killed_and_new_leases(lab: Multipath, goes_on: Callable[[], None]) -> None:
    for host in (lab.host, lab.far):
        host.kill9()
    goes_on()
    lab.scripted.first += 1000
    for host in (lab.host, lab.far):
        host.start_neod()
    new_leases(lab, goes_on)


def goes_on(transfer: Transfer) -> None:
    """Wait for bytes that arrive after now."""
    before = transfer.samples()[-1][1]
    poll(lambda: transfer.samples()[-1][1] > before or not transfer.sending, 60, 0.1, "the transfer goes on")
    assert transfer.sending, transfer.result()


def full(lab: Multipath) -> None:
    """Wait until every address of the host, each throttled by itself, carries the one connection."""
    lab.host.wait(60)

    def complete() -> bool:
        leased = lab.leased()
        lab.throttle(leased)
        return len(leased) == PATHS and carrying(lab) == set(leased)

    try:
        poll(complete, 120, 0.3)
    except TimeoutError:
        words = "\n".join(host.ctl(verb).out for host in (lab.host, lab.far) for verb in ("status", "paths"))
        raise TimeoutError(f"not every address carries\n{words}\n{lab.host.tail()}") from None


def carrying(lab: Multipath) -> set[str]:
    answer = lab.host.ctl("paths", "--json")
    rows = answer.json.get("connections", []) if answer.status == 0 else []
    (row,) = rows or ({"subflows": ()},)
    return {flow["source"] for flow in row["subflows"] if flow["state"] == "established"}


def rate(transfer: Transfer, least: float) -> float:
    """Wait until the rate over ten seconds is at least that, and return it, in Mbit/s."""
    begun = transfer.samples()[-1][0]
    poll(lambda: transfer.samples()[-1][0] > begun + 10, 60, 0.3, "ten seconds")
    return poll(
        lambda: max(transfer.mbit_s(10), 0.001) * (transfer.mbit_s(10) >= least), 90, 0.5, f"{least:.0f} Mbit/s"
    )
