"""Answers that are unusual, incomplete or wrong: what is usable in them is used, and the rest is said."""

from ipaddress import IPv4Address
from typing import Any

import pytest
from tests.lab import Campus, poll
from tests.lab.scripted import RELEASE, REQUEST

pytestmark = pytest.mark.kernel
HOST = b"\xff\xff\xff\xff"
GARBLED = {6: b"\1", 15: b"\0\1", 26: b"\2", 52: b"\7", 58: b"", 61: b"", 121: b"\x55\1"}


@pytest.fixture
def answered(new_campus: Any) -> Any:
    """Make a campus of one path whose server says *options*, with neod on it."""

    def start(options: dict[int, bytes | None], **fields: int) -> Campus:
        campus: Campus = new_campus(1, "scripted")
        campus.scripted.says = options
        for name, value in fields.items():
            setattr(campus.scripted, name, value)
        campus.host.write_config(campus.file())
        campus.host.start_neod()
        campus.host.ready()
        return campus

    return start


def leave(campus: Campus, to: str = "9.9.9.9") -> str:
    """Return the way that packets of the path take."""
    (source,) = (address.ip for address in campus.host.look().owned().addresses)
    return campus.host.ip_fails("route", "get", to, "from", str(source)).split("\n")[0]


def lease(campus: Campus) -> dict[str, Any]:
    (row,) = campus.host.ctl("leases", "--json").json["leases"]
    return row


@pytest.mark.parametrize("more", [{}, {3: None, 121: b"\0\x0a\x08\0\1"}], ids=["option 3", "option 121"])
def test_a_router_outside_of_the_subnet_is_on_the_link(answered, more):
    campus = answered({1: HOST} | more)
    campus.host.wait(15)
    assert f"via {campus.scripted.gateway} dev neo1" in leave(campus)
    assert "onlink" in campus.host.ip("route", "show", "table", str(campus.table_base + 1))


def test_a_router_that_cannot_be_one_is_named_and_no_other_nic_takes_its_place(answered):
    campus = answered({3: IPv4Address("127.0.0.1").packed}, lease_s=20, renew_s=2)
    why = "waits for a router: 127.0.0.1 is a loopback address"
    poll(lambda: why in campus.host.ctl("status").out, 10, why="the reason is shown")
    assert "default" in campus.host.ip("route", "show"), "there is a way that would be wrong"
    assert "dev" not in leave(campus)
    campus.scripted.says = {}
    campus.wait_converged(15)
    assert f"via {campus.scripted.gateway} dev neo1" in leave(campus)


def test_malformed_options_cost_nothing_but_themselves(answered):
    campus = answered(GARBLED)
    campus.wait_converged()
    assert len(lease(campus)["left_out"]) == len(GARBLED)
    assert f"via {campus.scripted.gateway} dev neo1" in leave(campus)


def test_an_answer_that_cannot_be_used_is_named_with_its_sender(answered):
    campus = answered({51: b"\1"})
    why = f"the answer of {campus.scripted.server} "
    poll(lambda: why in campus.host.ctl("status").out, 10, why="the reason is shown")
    assert "option 51" in campus.host.ctl("why", "neo1").out
    campus.scripted.says = {}
    campus.wait_converged(20)


def test_a_renewal_keeps_what_it_does_not_repeat(answered):
    campus = answered({26: (1400).to_bytes(2, "big"), 6: b"\x0a\0\0\x35"}, lease_s=20, renew_s=2)
    campus.wait_converged()
    before = lease(campus)
    campus.scripted.says = {1: None, 3: None}
    asked = campus.scripted.count(REQUEST)
    poll(
        lambda: campus.scripted.count(REQUEST) > asked and lease(campus)["bound"] != before["bound"], 10, why="renewed"
    )
    after = lease(campus)
    for name in ("address", "gateway", "dns", "mtu"):
        assert after[name] == before[name], name
    assert "mtu 1400" in campus.host.ip("route", "show", "table", str(campus.table_base + 1))


def test_a_lease_is_given_back_when_its_interface_leaves_the_file_and_not_at_a_stop(answered):
    campus = answered({})
    campus.wait_converged()
    campus.host.stop()
    campus.host.start_neod()
    campus.host.wait()
    assert campus.scripted.count(RELEASE) == 0
    campus.host.write_config("[daemon]\n")
    campus.host.ctl("reload", "--confirm", "60s")
    poll(lambda: not campus.host.look().owned().links, 5, why="the interface is gone")
    assert campus.scripted.count(RELEASE) == 0, "nobody has confirmed"
    campus.host.ctl("confirm")
    poll(lambda: campus.scripted.count(RELEASE) == 1, 5, why="it is given back")
