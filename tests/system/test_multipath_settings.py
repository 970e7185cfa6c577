"""Flags and limits of ``[mptcp]`` on real connections, by both path managers; and many connections at a restart."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench import usage
from tests.lab.multipath import SERVER, Multipath
from tests.lab.netns import inside, ip, ip_batch, poll, run
from tests.lab.process import Program
from tests.lab.transfer import PLACE, Transfer

pytestmark = pytest.mark.kernel

OTHER = "203.0.113.10"
SECOND, SECOND_GATEWAY = "198.18.5.10", "198.18.5.254"
MANAGERS = pytest.mark.parametrize("manager", ["kernel", "neod"])
CONNECTIONS = 500


@pytest.fixture
def lab(laboratory):
    with Multipath(3) as made:
        yield made


def flows(lab: Multipath, peer: str = SERVER) -> list[dict[str, Any]]:
    """Return the established subflows of the connections to a peer."""
    answer = lab.host.ctl("paths", "--json")
    rows = answer.json.get("connections", []) if answer.status == 0 else []
    mine = [flow for row in rows if row["remote"].startswith(f"{peer}:") for flow in row["subflows"]]
    return [flow for flow in mine if flow["state"] in ("established", "backup")]


def sent(lab: Multipath, path: str) -> int:
    """Return the bytes that a path has carried."""
    return sum(flow["sent_bytes"] for flow in flows(lab) if flow["path"] == path)


def ends(lab: Multipath) -> set[tuple[str, str]]:
    return {(flow["path"], flow["to"]) for flow in flows(lab)}


def second_address(lab: Multipath) -> None:
    """Give the server a second NIC, in a network of its own."""
    ip(lab.lan, "link", "add", "out1", "type", "veth", "peer", "name", "eth1", "netns", lab.far.ns)
    ip_batch(lab.lan, ["link set out1 up", f"address add {SECOND_GATEWAY}/24 dev out1"])
    ip_batch(lab.far.ns, ["link set eth1 up", f"address add {SECOND}/24 dev eth1"])
    with inside(lab.far.ns):
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("2")


def announce(lab: Multipath, manager: str, words: str = '"signal"') -> None:
    """Start a server that announces both of its addresses."""
    lab.far.write_config(announcing(manager, words))
    lab.far.start_neod()
    lab.far.wait(30)


def announcing(manager: str, words: str = '"signal"') -> str:
    """Return the file of a server whose second address has these flags."""
    uplinks = f"[uplinks.eth0]\ntable = 77\nmptcp = []\n[uplinks.eth1]\ntable = 78\nmptcp = [{words}]\n"
    static = f'ipv4 = "{SECOND}/24"\ngateway = "{SECOND_GATEWAY}"\n'
    return f'{uplinks}{static}[mptcp]\npath_manager = "{manager}"\n'


@MANAGERS
@pytest.mark.parametrize("fullmesh", [False, True])
def test_an_announced_address_gets_one_subflow_or_with_fullmesh_one_of_every_path(lab, manager, fullmesh):
    flags = '"subflow", "fullmesh"' if fullmesh else '"subflow"'
    second_address(lab)
    lab.host.write_config(
        lab.file(more=f'[mptcp]\npath_manager = "{manager}"\n').replace("mptcp = []", f"mptcp = [{flags}]")
    )
    lab.host.start_neod()
    lab.host.wait(60)
    announce(lab, manager)
    first = {(name, SERVER) for name in lab.names()}
    meshed = {(name, SECOND) for name in lab.names()}
    with Transfer(lab.far.ns, lab.host.ns, SERVER, lab.directory, listen="0.0.0.0") as transfer:
        transfer.start(60, lab.leased()[0])
        if fullmesh:
            poll(lambda: ends(lab) == first | meshed, 30, 0.2, "every path to every address")
        else:
            poll(lambda: first < ends(lab), 30, 0.2, "the announced address is used")
            assert len([end for end in ends(lab) if end[1] == SECOND]) == 1
        before = transfer.samples()[-1][1]
        poll(lambda: transfer.samples()[-1][1] > before, 20, 0.1, "it goes on")


@MANAGERS
def test_a_backup_carries_nothing_while_another_path_lives_and_all_when_none_does(lab, manager):
    override = '[macvlans.neo.override.neo3]\nmptcp = ["subflow", "backup"]\n'
    lab.host.write_config(lab.multipath_file(manager, override))
    lab.host.start_neod()
    lab.host.wait(60)
    lab.throttle(lab.leased())
    lab.serve(manager)
    addresses = lab.leased()
    with lab.transfer() as transfer:
        transfer.start(90, addresses[0])

        def backups() -> set[object]:
            return {flow["path"] for flow in flows(lab) if flow["state"] == "backup"}

        poll(lambda: len(flows(lab)) == 3 and backups() == {"neo3"}, 30, 0.2, "three subflows, one a backup")
        begun = transfer.samples()[-1][1]
        poll(lambda: transfer.samples()[-1][1] > begun + 4_000_000, 30, 0.2, "some megabytes")
        assert sent(lab, "neo3") < 400_000
        for address in addresses[:2]:
            lab.choke(address)
        begun = sent(lab, "neo3")
        poll(lambda: sent(lab, "neo3") > begun + 2_000_000, 60, 0.2, "the backup carries")


def test_with_the_kernels_manager_an_endpoint_that_is_deleted_by_hand_is_a_second_try(lab):
    addresses = lab.start("kernel")
    lab.serve("kernel")
    rule = f"ip saddr {addresses[2]} tcp dport 5001 reject with tcp reset"
    table = f"table ip faults {{\nchain f {{\ntype filter hook forward priority 0\n{rule}\n}}\n}}\n"
    run("nsenter", f"--net=/run/netns/{lab.lan}", "nft", "-f", "-", stdin=table)
    with lab.transfer() as transfer:
        transfer.start(60, addresses[0])
        poll(lambda: {flow["path"] for flow in flows(lab)} == {"neo1", "neo2"}, 30, 0.2, "two of three")
        run("nsenter", f"--net=/run/netns/{lab.lan}", "nft", "delete", "table", "ip", "faults")
        shown = ip(lab.host.ns, "mptcp", "endpoint", "show")
        (number,) = (line.split()[2] for line in shown.splitlines() if line.startswith(f"{addresses[2]} "))
        ip(lab.host.ns, "mptcp", "endpoint", "delete", "id", number)
        poll(lambda: {flow["path"] for flow in flows(lab)} == set(lab.names()), 30, 0.2, "the third joins")


def test_peers_that_are_excluded_are_left_alone_and_others_not(lab):
    ip(lab.far.ns, "address", "add", f"{OTHER}/32", "dev", "lo")
    ip(lab.lan, "route", "add", f"{OTHER}/32", "via", SERVER)
    addresses = lab.start("neod", f'exclude = ["{SERVER}/32"]')
    lab.serve("neod")
    with lab.transfer() as left_alone, Transfer(lab.far.ns, lab.host.ns, OTHER, lab.host.directory, 5003) as managed:
        left_alone.start(60, addresses[0])
        managed.start(60, addresses[0])
        poll(lambda: len(flows(lab, OTHER)) == 3, 30, 0.2, "every path to who is not excluded")
        assert len(flows(lab)) == 1


def test_all_connections_together_have_no_more_subflows_than_the_file_says(lab):
    addresses = lab.start("neod", "max_subflows_total = 5")
    lab.serve("neod")
    with flood(lab, 3, addresses[0]):
        poll(lambda: len(flows(lab)) == 5, 30, 0.2, "five, whether they came before the last connection or after")
        for line, number in (("_total = 7", 7), ("_total = 4", 4), ("_total = 1", 3), (" = 2", 6), (" = 1", 3)):
            lab.host.write_config(lab.multipath_file("neod", f"max_subflows{line}"))
            assert lab.host.ctl("reload").status == 0
            poll(lambda number=number: len(flows(lab)) == number, 30, 0.2, f"{number} with max_subflows{line}")


def test_a_subflow_that_died_and_is_not_missed_keeps_neod_at_rest(lab):
    """With a cap of two, the third address takes the place of the second; nothing is left to do."""
    addresses = lab.start("neod", "max_subflows = 2")
    lab.serve("neod")
    with flood(lab, 3, addresses[0]):
        poll(lambda: len(flows(lab)) == 6, 30, 0.2, "two each")
        died = {flow["path"] for flow in flows(lab)} - {"neo1"}
        number = int(died.pop().removeprefix("neo"))
        run("ip", "netns", "exec", lab.host.ns, "ss", "-K", "src", addresses[number - 1], "dport", "=", ":5001")
        poll(lambda: len(flows(lab)) == 6 and f"neo{number}" not in {flow["path"] for flow in flows(lab)}, 30, 0.2,
             "the other address takes over")  # fmt: skip
        time.sleep(2.0)  # the pause after which the dead one could be tried again is over
        assert lab.host.neod is not None
        begun, since = usage.cpu_s(lab.host.neod.pid), time.monotonic()
        time.sleep(4.0)
        assert usage.cpu_s(lab.host.neod.pid) - begun < (time.monotonic() - since) / 4


class flood:
    """So many connections that stay open."""

    def __init__(self, lab: Multipath, count: int, source: str) -> None:
        base = [sys.executable, "-m", "tests.lab.transfer"]
        self.receiver = Program(lab.far.ns, [*base, "recv", SERVER, "5001"], lab.directory / "flood-recv", PLACE)
        poll(lambda: "listening" in self.receiver.printed(), 20)
        words = [*base, "flood", SERVER, "5001", str(count), source]
        self.sender = Program(lab.host.ns, words, lab.directory / "flood-send", PLACE)
        poll(lambda: "done" in self.sender.printed(), 90, 0.1, "all are open")

    def __enter__(self) -> "flood":
        return self

    def __exit__(self, *_: object) -> None:
        for program in (self.sender, self.receiver):
            program.kill()


def established(ns: str) -> int:
    """Count the TCP sockets to the server's port that are established, as the kernel shows them."""
    with inside(ns):
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[3] == "01" and line.split()[2].endswith(f":{5001:04X}"))


@pytest.mark.timeout(400)
def test_five_hundred_connections_are_known_again_after_a_restart_and_get_what_they_lack(lab):
    addresses = lab.start("neod")
    lab.serve("neod")
    wanted = CONNECTIONS * len(addresses)
    with flood(lab, CONNECTIONS, addresses[0]):
        poll(lambda: established(lab.host.ns) == wanted, 60, 0.3, f"{wanted} subflows")
        lab.host.kill9()
        lab.host.ip("link", "del", "neo2")
        lab.host.start_neod()
        assert lab.host.neod is not None
        lab.host.wait()
        known = f"{CONNECTIONS} of {CONNECTIONS} connections"
        poll(lambda: known in lab.host.ctl("status").out, 30, 0.1, known)
        poll(lambda: len({f["path"] for f in flows(lab)}) == 3 and len(flows(lab)) == wanted, 120, 1.0,
             "all subflows are back")  # fmt: skip
        cpu_s = usage.cpu_s(lab.host.neod.pid)
        print(f"{CONNECTIONS} connections, {wanted} subflows: {cpu_s:.2f} s of CPU; load {os.getloadavg()[0]:.1f}")
        assert cpu_s < 20, "a bound of sanity: forty milliseconds a connection"
