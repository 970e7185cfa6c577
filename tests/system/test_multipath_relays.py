"""MPTCP through two relays into the namespace of a proxy server, by either path manager on either side."""

import pytest
from tests.lab.host import Host
from tests.lab.netns import inside, ip, poll, run
from tests.lab.relays import Relays, address, echo

pytestmark = pytest.mark.kernel

DIRECTLY, BY_RELAY1, BY_RELAY2 = address("client"), "10.254.1.1", "10.254.1.2"
"""Where a subflow comes from, as the proxy's namespace sees it: relay_snat gives each relay an address of its own."""

EVERY_WAY = {DIRECTLY, BY_RELAY1, BY_RELAY2}
MANAGING = "neod is the path manager"
PAIRS = [("kernel", "kernel"), ("neod", "neod"), ("kernel", "neod"), ("neod", "kernel")]


@pytest.fixture
def relays(laboratory):
    with Relays() as made:
        made.hosts["client"] = Host(made.ns["client"], made.directory / "client", nic="eth0")
        ip(made.ns["client"], "mptcp", "limits", "set", "subflow", "0", "add_addr_accepted", "0")
        yield made


def start(relays: Relays, client: str, proxy: str, version: int = 4) -> None:
    """Start neod on all four hosts, with these path managers."""
    files = {"relay1": relays.relay_file(), "relay2": relays.relay_file()}
    files["client"] = f'[uplinks.eth0]\ntable = 77\nmptcp = ["subflow"]\n[mptcp]\npath_manager = "{client}"\n'
    files["proxy"] = relays.proxy_file(more=f'[mptcp]\npath_manager = "{proxy}"\n')
    for relay in ("relay1", "relay2"):
        files["proxy"] = files["proxy"].replace(f'"{address(relay)}"', f'"{address(relay, version)}"')
    for name, host in relays.hosts.items():
        host.write_config(files[name])
        host.start_neod()
    for name, host in relays.hosts.items():
        host.wait()
        if files[name].count('path_manager = "neod"'):
            poll(lambda host=host: MANAGING in host.ctl("status").out, 10, 0.1, f"{MANAGING}; {host.tail()}")


def ways(relays: Relays) -> set[str]:
    """Return where the established subflows of the proxy's connections come from, as its neod tells."""
    return peers(relays, "proxy", relays.inner)


def peers(relays: Relays, name: str, netns: str = "") -> set[str]:
    """Return the other ends of the established subflows of a host."""
    answer = relays.hosts[name].ctl("paths", "--json")
    rows = answer.json["connections"] if answer.status == 0 else []
    flows = [flow for row in rows if row["netns"] == netns for flow in row["subflows"]]
    return {flow["to"] for flow in flows if flow["state"] == "established"}


def open_every_way(relays: Relays, version: int = 4):
    """Return both ends of a connection that has a subflow on every way."""
    server = relays.listen(version)
    client = relays.connect(address("proxy", version))
    there = relays._keep(server.accept()[0])
    there.settimeout(30)
    assert echo(client, there) == b"hello"
    await_ways(relays, EVERY_WAY if version == 4 else {address("client", 6), "fd00:254:1::1", "fd00:254:1::2"})
    return client, there


def await_ways(relays: Relays, wanted: set[str], timeout_s: float = 30) -> None:
    try:
        poll(lambda: ways(relays) == wanted, timeout_s, 0.2)
    except TimeoutError:
        shown = "\n".join(relays.hosts[name].ctl(*words).out for name in ("client", "proxy") for words in
                          (("paths",), ("status",)))  # fmt: skip
        raise TimeoutError(f"{ways(relays)} instead of {wanted}\n{shown}") from None


@pytest.mark.parametrize(("client", "proxy"), PAIRS)
def test_a_connection_goes_directly_and_through_both_relays(relays, client, proxy):
    start(relays, client, proxy)
    ends = open_every_way(relays)
    assert echo(*ends, b"x" * 300_000) == b"x" * 300_000
    assert echo(*reversed(ends), b"y" * 300_000) == b"y" * 300_000
    wanted = {"kernel": "kernel", "neod": "userspace"}
    with inside(relays.inner):
        told = run("sysctl", "-n", "net.mptcp.path_manager", "net.mptcp.pm_type", "net.mptcp.enabled").stdout.split()
    assert told == [wanted[proxy], "01"[proxy == "neod"], "1"]


@pytest.mark.parametrize(("client", "proxy"), [("kernel", "kernel"), ("neod", "neod")])
def test_the_same_over_ipv6(relays, client, proxy):
    start(relays, client, proxy, version=6)
    ends = open_every_way(relays, 6)
    assert echo(*ends, b"x" * 300_000) == b"x" * 300_000


@pytest.mark.parametrize(("client", "proxy"), [("kernel", "kernel"), ("neod", "neod")])
def test_a_relay_that_dies_takes_no_byte_with_it_and_carries_again_when_it_is_back(relays, client, proxy):
    start(relays, client, proxy)
    ends = open_every_way(relays)
    relays.sh("relay1", "ip link set eth0 down")
    for turn in range(5):
        text = bytes([turn]) * 100_000
        assert echo(*ends, text) == text
    relays.sh("relay1", f"ip link set eth0 up; ip route add default via {address('relay1').rsplit('.', 1)[0]}.1")
    before = carried(relays)

    def carries_again() -> bool:
        assert echo(*ends, b"z" * 300_000) == b"z" * 300_000
        return carried(relays) > before + 20_000

    poll(carries_again, 60, 0.1, "the relay carries again")
    assert ways(relays) == EVERY_WAY


def carried(relays: Relays) -> int:
    """Return how many bytes went out of the first relay to the proxy."""
    with inside(relays.ns["relay1"]):
        shown = run("ip", "-s", "-j", "link", "show", "eth0").stdout
    import json

    return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])


def test_a_relay_that_refuses_is_joined_again_when_it_hands_on_again(relays):
    start(relays, "neod", "neod")
    ends = open_every_way(relays)
    refuse = "nft add table ip r; nft add chain ip r f '{ type filter hook forward priority -5; }'; "
    relays.sh("relay2", refuse + "nft add rule ip r f meta l4proto tcp reject with tcp reset")
    for _ in range(3):
        assert echo(*ends, b"x" * 100_000) == b"x" * 100_000
    direct = {address("proxy"), address("relay1")}  # the proxy is not told: who sends is reset
    poll(lambda: peers(relays, "client") == direct, 30, 0.2, "the subflow is closed")
    relays.sh("relay2", "nft delete table ip r")
    poll(lambda: peers(relays, "client") == {*direct, address("relay2")}, 60, 0.2, "it is joined again")
    assert echo(*ends) == b"hello"


def test_an_address_that_is_no_relay_any_more_is_left_and_a_new_one_joined(relays):
    start(relays, "neod", "neod")
    ends = open_every_way(relays)
    proxy = relays.hosts["proxy"]
    whole = proxy.config.read_text()
    proxy.write_config(whole.replace(f', "{address("relay2")}"', ""))
    assert proxy.ctl("reload").status == 0
    await_ways(relays, EVERY_WAY - {BY_RELAY2})
    assert echo(*ends) == b"hello"
    proxy.write_config(whole)
    assert proxy.ctl("reload").status == 0
    await_ways(relays, EVERY_WAY, 60)
    assert echo(*ends) == b"hello"


def test_neod_of_the_proxy_killed_and_started_again_knows_its_connections(relays):
    start(relays, "neod", "neod")
    ends = open_every_way(relays)
    proxy = relays.hosts["proxy"]
    proxy.kill9()
    assert echo(*ends) == b"hello"
    proxy.start_neod()
    proxy.wait()
    await_ways(relays, EVERY_WAY)
    assert echo(*ends, b"x" * 200_000) == b"x" * 200_000
