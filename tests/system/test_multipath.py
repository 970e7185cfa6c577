"""MPTCP on a throttled campus: endpoints that follow their addresses, and transfers that outlive everything."""

import json
import re

import pytest
from tests.lab.multipath import Multipath
from tests.lab.netns import ip, poll, run
from tests.lab.transfer import Transfer

pytestmark = pytest.mark.kernel


@pytest.fixture
def lab_of(laboratory):
    """Make throttled campuses that end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda n, **kwargs: stack.enter_context(Multipath(n, **kwargs))


def endpoints(ns: str) -> dict[str, int]:
    """Return address -> id of every endpoint that the kernel of *ns* has."""
    told = ip(ns, "mptcp", "endpoint", "show")
    return {address: int(number) for address, number in re.findall(r"^(\S+) id (\d+)", told, re.MULTILINE)}


def ours(ns: str) -> set[str]:
    return {address for address, number in endpoints(ns).items() if 200 <= number <= 254}


def sources(lab: Multipath) -> set[str]:
    """Return the addresses that carry the transfer, as the host's sockets tell."""
    answer = lab.host.ctl("paths", "--json")
    rows = answer.json.get("connections", []) if answer.status == 0 else []
    return {
        flow["source"]
        for row in rows
        if row["remote"].endswith(":5001")
        for flow in row["subflows"]
        if flow["state"] == "established"
    }


def reset_by_kernel(lab: Multipath) -> int:
    """Return how many subflows the server's kernel has reset because it could not place their data.

    About 4 in 100 of those that join in the middle of a transfer: the defect of Linux 6.18 in tests.lab.stream.
    """
    told = run("ip", "netns", "exec", lab.far.ns, "nstat", "-asz", "MPTcpExtDSSNotMatching").stdout
    return int(told.split()[-2])


def carried_by(lab: Multipath, addresses: set[str], timeout_s: float = 30) -> None:
    """Wait until exactly these addresses carry the transfer.

    Where the kernels are the path managers, and have reset a subflow
    themselves, it is given its second try by hand, as the docs tell.
    """
    last: set[str] = set()

    def settled() -> bool:
        nonlocal last
        last = sources(lab)
        gone, ids = addresses - last, endpoints(lab.host.ns)
        if gone and gone <= ids.keys() and reset_by_kernel(lab) >= lab.second_tries + len(gone):
            lab.second_tries += len(gone)
            print("a second try for", sorted(gone))
            for address in gone:
                ip(lab.host.ns, "mptcp", "endpoint", "delete", "id", str(ids[address]))
        return last == addresses

    try:
        poll(settled, timeout_s, 0.2)
    except TimeoutError:
        paths = lab.host.ctl("paths").out + "\n".join(
            (*lab.host.ctl("status").out.splitlines()[:3], *lab.far.ctl("status").out.splitlines()[:3])
        )
        raise TimeoutError(
            f"missing {sorted(addresses - last)}, surplus {sorted(last - addresses)}\n{paths}\n{lab.host.tail()}"
        ) from None


def goes_on(transfer: Transfer) -> None:
    """Wait for bytes that arrive after now."""
    before = transfer.samples()[-1][1]
    poll(lambda: transfer.samples()[-1][1] > before, 20, 0.1, "the transfer goes on")
    assert transfer.sending


# ── endpoints ───────────────────────────────────────────────────────────────────────────────────


def test_every_address_has_an_endpoint_of_ours_on_its_device(lab_of):
    lab = lab_of(8)
    addresses = lab.start()
    assert ours(lab.host.ns) == set(addresses)
    shown = ip(lab.host.ns, "mptcp", "endpoint", "show")
    assert sorted(re.findall(r"subflow dev (\S+)", shown)) == sorted(lab.names())
    assert ip(lab.host.ns, "mptcp", "limits", "show").split() == ["add_addr_accepted", "8", "subflows", "8"]
    row = lab.host.ctl("status", "--json").json["paths"][2]
    assert (row["mptcp"], row["mptcp_id"], row["mptcp_state"]) == (["subflow"], 202, "endpoint")


@pytest.mark.parametrize(
    "words",
    ["endpoint flush", "endpoint delete id 203", "limits set subflow 0 add_addr_accepted 0"],
)
def test_what_no_event_tells_is_found_and_repaired(lab_of, words):
    lab = lab_of(4)
    addresses = lab.start()
    ip(lab.host.ns, "mptcp", *words.split())
    limits = ["add_addr_accepted", "8", "subflows", "8"]
    poll(
        lambda: (ours(lab.host.ns), ip(lab.host.ns, "mptcp", "limits", "show").split()) == (set(addresses), limits),
        5,
        why="repaired",
    )


def test_endpoints_follow_their_addresses_and_leave_no_stale_ones(lab_of):
    lab = lab_of(4)
    addresses = lab.start()
    lab.host.ip("link", "del", "neo2")
    lab.host.wait()
    shown = ip(lab.host.ns, "mptcp", "endpoint", "show")
    assert not re.search(r"dev if\d", shown)
    poll(lambda: ours(lab.host.ns) == set(addresses), 5, why="the endpoint is back")
    lab.unplug()
    poll(lambda: not endpoints(lab.host.ns), 10, why="no endpoint outlives its address")
    lab.plug()
    poll(lambda: ours(lab.host.ns) == set(addresses), 30, why="endpoints are back")


def test_more_addresses_than_slots_are_said_and_the_best_are_chosen(lab_of):
    lab = lab_of(11)
    lab.start()
    by_name = {name: lab.host.look().address(name) for name in lab.names()}
    assert ours(lab.host.ns) == {by_name[f"neo{number}"] for number in range(1, 9)}
    status = lab.host.ctl("status", "--json").json
    assert status["converged"]
    assert "11 addresses ask for an MPTCP endpoint" in status["file"]["warnings"][0]
    assert [row["mptcp_state"] for row in status["paths"]] == ["endpoint"] * 8 + ["waiting"] * 3


def test_endpoints_of_others_take_slots_and_are_left_alone(lab_of):
    lab = lab_of(8)
    addresses = lab.start()
    ip(lab.host.ns, "mptcp", "endpoint", "delete", "id", "207")
    ip(lab.host.ns, "mptcp", "endpoint", "add", "10.8.0.5", "id", "3", "subflow")
    poll(lambda: ours(lab.host.ns) == set(addresses[:7]), 10, why="one slot less")
    assert endpoints(lab.host.ns)["10.8.0.5"] == 3
    poll(lambda: lab.host.ctl("status").status == 0, 10, why="converged")
    ip(lab.host.ns, "mptcp", "endpoint", "delete", "id", "3")
    poll(lambda: ours(lab.host.ns) == set(addresses), 10, why="the slot is used again")


# ── transfers ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["kernel", "neod"])
def moving(request, lab_of):
    """A transfer over four addresses, by either path manager."""
    lab = lab_of(4)
    addresses = lab.start(request.param)
    lab.serve(request.param)
    with lab.transfer() as transfer:
        transfer.start(120, addresses[0])
        carried_by(lab, set(addresses))
        yield lab, transfer, addresses


def test_a_deleted_macvlan_comes_back_into_the_transfer(moving):
    lab, transfer, addresses = moving
    lab.host.ip("link", "del", "neo3")
    lab.host.wait()
    goes_on(transfer)
    carried_by(lab, set(addresses))


@pytest.mark.parametrize("manager", ["kernel", "neod"])
def test_new_leases_take_the_place_of_the_old_in_the_middle_of_a_transfer(lab_of, manager):
    lab = lab_of(4, server="scripted")
    lab.scripted.renew_s, lab.scripted.rebind_s = 4, 8
    addresses = lab.start(manager)
    lab.serve(manager)
    with lab.transfer() as transfer:
        transfer.start(120, addresses[0])
        carried_by(lab, set(addresses))
        lab.scripted.first += 1000
        poll(lambda: len(lab.leased()) == 4 and not set(lab.leased()) & set(addresses), 40, 0.2, "new leases")
        lab.throttle(lab.leased())
        goes_on(transfer)
        carried_by(lab, set(lab.leased()), 40)
        assert not set(endpoints(lab.host.ns)) & set(addresses)
        goes_on(transfer)


def test_neod_killed_and_started_again_changes_nothing(moving):
    lab, transfer, addresses = moving
    lab.host.kill9()
    goes_on(transfer)
    assert lab.host.neod is not None
    lab.host.start_neod()
    lab.host.wait()
    carried_by(lab, set(addresses))
    lab.host.ip("link", "del", "neo2")
    lab.host.wait()
    carried_by(lab, set(addresses))
    goes_on(transfer)


def test_a_server_whose_neod_is_killed_keeps_all_subflows_and_takes_new_ones_later(lab_of):
    lab = lab_of(3)
    addresses = lab.start("neod")
    lab.serve("neod")
    with lab.transfer() as transfer:
        transfer.start(120, addresses[0])
        carried_by(lab, set(addresses))
        lab.far.kill9()
        lab.host.ip("link", "del", "neo2")
        lab.host.wait()
        goes_on(transfer)
        lab.far.start_neod()
        carried_by(lab, set(addresses), 90)
        goes_on(transfer)


def test_neod_manages_more_paths_than_the_kernel_has_slots_for(lab_of):
    lab = lab_of(24)
    addresses = lab.start("neod")
    lab.serve("neod")
    assert not endpoints(lab.host.ns)
    with lab.transfer() as transfer:
        transfer.start(60, addresses[0])
        carried_by(lab, set(addresses))
        status = lab.host.ctl("status", "--json").json
        assert {row["mptcp_state"] for row in status["paths"]} == {"neod"}
        assert any("neod is the path manager" in note for note in status["notes"])


def test_excluded_peers_and_the_cap_are_respected(lab_of):
    lab = lab_of(6)
    addresses = lab.start("neod", 'max_subflows = 3\nexclude = ["203.0.113.0/24"]')
    lab.serve("neod")
    with lab.transfer() as transfer:
        transfer.start(60, addresses[0])
        poll(lambda: len(sources(lab)) == 3, 20, why="three subflows")
        lab.host.write_config(lab.multipath_file("neod", 'exclude = ["192.0.2.0/24"]'))
        lab.host.reload()
        poll(lambda: '"192.0.2.0/24"' in lab.host.config.read_text(), 5)
        lab.host.wait()
        lab.host.write_config(lab.multipath_file("neod"))
        assert lab.host.ctl("reload").status == 0
        carried_by(lab, set(addresses))


def test_kernel_and_neod_take_turns_with_the_file(lab_of):
    lab = lab_of(4)
    addresses = lab.start("kernel")
    lab.host.write_config(lab.multipath_file("neod"))
    assert lab.host.ctl("reload").status == 0
    poll(lambda: not endpoints(lab.host.ns), 10, why="no endpoints")
    poll(lambda: lab.host.sysctl("mptcp/path_manager") == "userspace", 5, why="the userspace manager")
    lab.host.write_config(lab.multipath_file("kernel"))
    assert lab.host.ctl("reload").status == 0
    poll(lambda: ours(lab.host.ns) == set(addresses), 10, why="endpoints")
    poll(lambda: lab.host.sysctl("mptcp/path_manager") == "kernel", 5, why="the kernel's manager")


def test_paths_as_json_is_the_reply(lab_of):
    lab = lab_of(2)
    addresses = lab.start()
    lab.serve()
    assert json.loads(lab.host.ctl("paths", "--json").out)["connections"] == []
    with lab.transfer() as transfer:
        transfer.start(30, addresses[0])
        carried_by(lab, set(addresses))
        (row,) = lab.host.ctl("paths", "--json").json["connections"]
        assert row["side"] == "client"
        assert {flow["path"] for flow in row["subflows"]} == {"neo1", "neo2"}
        shown = lab.host.ctl("paths").out
        assert "Mbit/s" in shown
        assert "█" in shown
