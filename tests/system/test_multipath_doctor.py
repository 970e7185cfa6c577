"""``neodctl doctor --server``: each fault made for real, and told with evidence and remedy."""

import socket
import threading

import pytest
from tests.lab.campus import NIC_MAC
from tests.lab.multipath import SERVER, Multipath
from tests.lab.netns import inside, ip, poll, run

pytestmark = pytest.mark.kernel
IPPROTO_MPTCP = 262


@pytest.fixture
def lab(laboratory):
    with Multipath(3) as made:
        made.start()
        made.serve()
        yield made


@pytest.fixture
def served(lab):
    with listening(lab, IPPROTO_MPTCP, 5001):
        yield lab


def listening(lab: Multipath, protocol: int, port: int) -> socket.socket:
    with inside(lab.far.ns):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    made.bind((SERVER, port))
    made.listen(64)
    threading.Thread(target=accept_all, args=(made,), daemon=True).start()
    return made


def accept_all(listener: socket.socket) -> None:
    kept = []
    while True:
        try:
            kept.append(listener.accept()[0])
        except OSError:
            return


def asked(lab: Multipath, port: int = 5001) -> dict[str, dict[str, str]]:
    """Return what doctor says of connections to the server, by what it is about."""
    answer = lab.host.ctl("doctor", "--server", f"{SERVER}:{port}", "--json")
    assert answer.status in (0, 1), answer.err
    rows = {row["name"]: row for row in answer.json["probes"]}
    assert all(row["remedy"] for row in rows.values() if row["state"] != "ok")
    assert all(row["evidence"] for row in rows.values())
    return rows


def states(rows: dict[str, dict[str, str]]) -> list[str]:
    return [rows[f"mptcp from neo{number}"]["state"] for number in (1, 2, 3)]


def on_the_way(lab: Multipath, rule: str) -> None:
    """Let the gateway do something to what the second address sends."""
    filtering(lab, "ip", "forward", f"ip saddr {lab.leased()[1]} {rule}")


def filtering(lab: Multipath, family: str, hook: str, rule: str) -> None:
    chain = f"chain f {{\ntype filter hook {hook} priority 0\n{rule}\n}}"
    run("nsenter", f"--net=/run/netns/{lab.lan}", "nft", "-f", "-", stdin=f"table {family} faults {{\n{chain}\n}}\n")


def test_a_server_that_speaks_with_every_address_is_fine(served):
    rows = asked(served)
    assert states(rows) == ["ok", "ok", "ok"]
    assert rows["gateway"]["state"] == rows["arp flux"]["state"] == rows["mptcp kernel"]["state"] == "ok"
    assert "come in by their own links" in rows["gateway"]["evidence"]


def test_a_server_of_plain_tcp_is_told_from_a_way_that_strips(lab):
    with listening(lab, socket.IPPROTO_TCP, 5002):
        rows = asked(lab, 5002)
    assert states(rows) == ["problem"] * 3
    assert "ss -lM" in rows["mptcp from neo1"]["remedy"]


def test_nobody_there_is_told(lab):
    rows = asked(lab, 9)
    assert states(rows) == ["problem"] * 3
    assert "nothing listens" in rows["mptcp from neo3"]["remedy"]


@pytest.mark.parametrize(
    ("rule", "evidence", "remedy"),
    [
        ("reset tcp option mptcp", "while 2 of 3 addresses speak MPTCP", "strips MPTCP"),
        ("tcp option mptcp exists drop", "plain TCP connects", "drops or resets"),
        ("tcp option mptcp exists reject with tcp reset", "plain TCP connects", "drops or resets"),
        ("drop", "though its gateway answers ARP and 2 of 3", "packets do not return"),
    ],
)
def test_what_the_network_does_to_one_address_is_told(served, rule, evidence, remedy):
    on_the_way(served, rule)
    rows = asked(served)
    assert states(rows) == ["ok", "problem", "ok"]
    row = rows["mptcp from neo2"]
    assert evidence in row["evidence"]
    assert remedy in row["remedy"]


def test_a_gateway_that_does_not_answer_a_mac_is_told(served):
    address = served.leased()[1]
    filtering(served, "arp", "input", f"arp saddr ip {address} drop")
    ip(served.host.ns, "neigh", "flush", "dev", "neo2")
    rows = asked(served)
    assert states(rows) == ["ok", "problem", "ok"]
    assert "does not answer" in rows["mptcp from neo2"]["evidence"] + rows["mptcp from neo2"]["remedy"]


def test_a_gateway_that_has_one_mac_for_all_is_told(served):
    for address in served.leased():
        ip(served.lan, "neigh", "replace", address, "lladdr", NIC_MAC, "dev", "lan0", "nud", "permanent")
    row = asked(served)["gateway"]
    assert row["state"] == "problem"
    assert "but by ens3" in row["evidence"]


def test_an_interface_that_answers_for_the_others_is_told(served):
    assert served.host.ctl("pause").status == 0
    with inside(served.host.ns):
        run("nft", "delete", "table", "arp", "neo")
    row = asked(served)["arp flux"]
    assert (row["state"], "ens3" in row["evidence"]) == ("problem", True)
    assert served.host.ctl("resume").status == 0
    served.host.wait()
    assert asked(served)["arp flux"]["state"] == "ok"


def test_links_of_others_that_answer_for_our_addresses_are_told(lab):
    for line in (
        "link add mv9 link ens3 type macvlan mode bridge",
        "link add nic2 type veth peer name nic2p",
        "link add nic3 type veth peer name nic3p",
        "addr add 10.8.0.77/16 dev nic2",
        "addr add 192.168.9.1/24 dev nic3",
    ):
        ip(lab.host.ns, *line.split())

    def told() -> list[str]:
        return [row["evidence"].split()[0] for row in lab.host.ctl("doctor", "--json").json["probes"] if flux(row)]

    def flux(row: dict[str, str]) -> bool:
        return row["name"] == "arp flux" and row["state"] == "warning"

    assert told() == []
    for name in ("mv9", "nic2", "nic3"):
        ip(lab.host.ns, "link", "set", name, "up")
    assert told() == ["mv9", "nic2"]
    with inside(lab.host.ns):
        run("sysctl", "-qw", "net.ipv4.conf.mv9.arp_ignore=1", "net.ipv4.conf.nic2.arp_ignore=1")
    assert told() == []


def test_endpoints_of_others_are_told_and_doctor_without_a_server_connects_nowhere(lab):
    ip(lab.host.ns, "mptcp", "endpoint", "add", "10.8.0.5", "id", "3", "subflow")

    def rows() -> dict[str, dict[str, str]]:
        return {row["name"]: row for row in lab.host.ctl("doctor", "--json").json["probes"]}

    poll(lambda: "10.8.0.5 id 3" in rows()["mptcp endpoints"]["evidence"], 10, 0.3, "the endpoint is told")
    assert not any(name.startswith("mptcp from") for name in rows())


@pytest.mark.parametrize("word", ["192.0.2.10", "example.net:443", "192.0.2.10:0", "[2001:db8::1]:x", ":443"])
def test_a_server_that_is_no_address_and_port_is_refused(lab, word):
    answer = lab.host.ctl("doctor", "--server", word)
    assert answer.status == 2
    assert "ADDRESS:PORT" in answer.err
