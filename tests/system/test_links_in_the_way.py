"""Who is in the way of a link is named, and it comes by itself when that goes; links of ours stay the ones they are."""

import json
from contextlib import ExitStack

import pytest
from tests.lab import Campus, netns, poll
from tests.lab.netns import ip

pytestmark = pytest.mark.kernel

MACS = [f"02:4e:65:6f:00:0{number}" for number in range(1, 5)]


def group(macs, name="neo", parent="ens3"):
    return f'[macvlans.{name}]\nparent = "{parent}"\nmacs = {json.dumps(macs)}\nmptcp = []\n'


class Place:
    """A campus host, another namespace, and what can be seen of both."""

    def __init__(self, campus: Campus, other: str) -> None:
        self.host, self.other = campus.host, other

    def run(self, lines: str) -> None:
        for words in filter(None, lines.format(other=self.other).split("; ")):
            self.host.ip(*words.split())

    def start(self, file: str, *, converged: bool = True) -> None:
        self.host.write_config(file)
        self.host.start_neod()
        self.host.wait() if converged else self.host.ready()

    def rows(self) -> dict[str, tuple[str, str]]:
        status = self.host.ctl("status", "--json").json
        return {row["name"]: (row["state"], row["detail"]) for row in status["paths"]}

    def links(self) -> dict[str, tuple[object, ...]]:
        """Return index, MAC, alias, mode, mtu, state and master of each link of ours."""
        seen = [link for link in json.loads(self.host.ip("-j", "-d", "link", "show", "type", "macvlan")) if link]
        names = ("ifindex", "address", "ifalias", "mtu", "group", "master")
        return {
            link["ifname"]: (*(link.get(name) for name in names), link["linkinfo"]["info_data"]["mode"])
            for link in seen
            if "UP" in link["flags"]
        }

    def addresses(self) -> dict[str, str]:
        seen = [link for link in json.loads(self.host.ip("-j", "-4", "address", "show", "type", "macvlan")) if link]
        return {link["ifname"]: link["addr_info"][0]["local"] for link in seen if link.get("addr_info")}


@pytest.fixture
def place(laboratory):
    with ExitStack() as stack:
        campus = stack.enter_context(Campus(3))
        other = netns.create(netns.unique("other"))
        stack.callback(netns.delete, other)
        yield Place(campus, other)


IN_THE_WAY = {
    "an alternative name": (
        "link add eth9 type veth peer name x9; link property add dev eth9 altname neo1",
        "conflict",
        "neo1 is another name of eth9",
        "link property del dev eth9 altname neo1",
    ),
    "a MAC beside it": (
        f"link add cmv link ens3 address {MACS[0]} type macvlan mode bridge; link set cmv up",
        "conflict",
        f"{MACS[0]} is in use on ens3 by cmv",
        "link del cmv",
    ),
    "a bridge that has the NIC": (
        "link add br9 type bridge; link set ens3 master br9",
        "retrying",
        "ens3 is a port of br9: use br9",
        "link set ens3 nomaster",
    ),
    "a macvlan in mode passthru": (
        "link add pt link ens3 type macvlan mode passthru",
        "retrying",
        "pt (macvlan in mode passthru) has ens3 for itself",
        "link del pt",
    ),
    "a NIC that is down": ("link set ens3 down", "blocked", "ens3 is down: `ip link set ens3 up`", "link set ens3 up"),
    "a NIC called otherwise": (
        "link set ens3 down; link set ens3 name enp0s25; link property add dev enp0s25 altname ens3; "
        "link set enp0s25 up",
        "blocked",
        "ens3 is another name of enp0s25: write enp0s25",
        "link property del dev enp0s25 altname ens3; link set enp0s25 down; link set enp0s25 name ens3; "
        "link set ens3 up",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_who_is_in_the_way_is_named_and_when_it_goes_the_path_comes(place, case):
    before, state, cause, after = IN_THE_WAY[case]
    place.run(before)
    place.start(group(MACS[:2]), converged=False)
    poll(lambda: place.rows()["neo1"][0] == state and cause in place.rows()["neo1"][1], 10, why=cause)
    assert not place.host.ctl("status").out.count("Traceback")
    place.run(after)
    place.host.wait()
    assert set(place.addresses()) == {"neo1", "neo2"}


def test_the_mac_of_a_link_in_another_namespace_is_told_with_its_place_and_the_link_is_left_there(place):
    place.run(f"link add eth0 netns {{other}} link ens3 address {MACS[0]} type macvlan mode bridge")
    ip(place.other, "link", "set", "eth0", "up")
    place.start(group(MACS[:2]), converged=False)
    cause = f"{MACS[0]} is in use on ens3 by eth0 in the namespace {place.other}"
    poll(lambda: cause in place.rows()["neo1"][1], 10, why=cause)
    poll(lambda: "neo2" in place.addresses(), 10, why="the other one works")
    assert "eth0" in ip(place.other, "link", "show", "eth0")
    ip(place.other, "link", "del", "eth0")
    place.host.wait()


def test_an_uplink_that_is_not_there_says_so_and_not_that_it_waits_for_an_address(place):
    place.start("[uplinks.eth7]\ntable = 33\nmptcp = []\n[uplinks.ens3]\ntable = 34\nmptcp = []\n", converged=False)
    poll(lambda: place.rows()["eth7"] == ("blocked", "there is no eth7"), 5, why="it says so")
    place.run("link set ens3 down")
    poll(lambda: "ens3 is down" in place.rows()["ens3"][1], 5, why="it says so")


DONE_BY_OTHERS = {
    "names swapped": "link set neo1 name x; link set neo2 name neo1; link set x name neo2",
    "names in a circle": "link set neo1 name x; link set neo2 name neo1; link set neo3 name neo2; link set x name neo3",
    "MACs swapped": f"link set neo1 address 02:99:00:00:00:01; link set neo2 address {MACS[0]}; "
    f"link set neo1 address {MACS[1]}",
    "names and MACs swapped": "link set neo1 name x; link set neo2 name neo1; link set x name neo2; "
    f"link set neo1 address 02:99:00:00:00:01; link set neo2 address {MACS[1]}; link set neo1 address {MACS[0]}",
    "aliases swapped": "link set neo1 alias neo:neo2; link set neo2 alias neo:neo1",
    "group taken away": "link set neo1 group 0",
    "put into a bridge": "link add br9 type bridge; link set neo1 master br9",
    "mode and MTU": "link set neo1 type macvlan mode bridge; link set neo2 mtu 1300",
}


AWAY = ("names in a circle", "MACs swapped", "aliases swapped", "group taken away")


@pytest.mark.parametrize(
    ("done", "how"),
    [*((done, "at once") for done in DONE_BY_OTHERS), *((done, "while neod was away") for done in AWAY)],
)
def test_links_that_others_swapped_or_unmarked_are_the_same_again_with_their_leases(place, done, how):
    place.start(group(MACS[:3]))
    links, addresses = place.links(), place.addresses()
    if how == "at once":
        assert place.host.ctl("pause").status == 0
        place.run(DONE_BY_OTHERS[done])
        assert place.host.ctl("resume").status == 0
    else:
        place.host.kill9()
        place.run(DONE_BY_OTHERS[done])
        place.host.start_neod()
    place.host.wait()
    first = 1 if (done, how) == ("aliases swapped", "while neod was away") else 0  # the index: an alias is all there is
    wanted = {name: link[first:] for name, link in links.items()}, addresses

    def seen():
        return {name: link[first:] for name, link in place.links().items()}, place.addresses()

    poll(lambda: seen() == wanted, 5, why="the same links and leases")
    place.host.wait()
    assert "contested" not in place.host.ctl("status").out


def test_a_link_moved_to_another_namespace_is_deleted_there_also_with_another_mac(place):
    place.start(group(MACS[:2]))
    addresses = place.addresses()
    assert place.host.ctl("pause").status == 0
    place.run("link set neo1 netns {other}")
    ip(place.other, "link", "set", "neo1", "address", "02:99:00:00:00:01")
    assert place.host.ctl("resume").status == 0
    poll(lambda: place.addresses() == addresses, 10, why="a new one has its lease")
    assert ip(place.other, "-o", "link", "show", "type", "macvlan") == ""


CHANGED_FILES = {
    "MACs exchanged": (group([MACS[1], MACS[0], MACS[2]]), {"neo1": MACS[1], "neo2": MACS[0], "neo3": MACS[2]}),
    "MACs moved by one": (group([MACS[3], *MACS[:2]]), {"neo1": MACS[3], "neo2": MACS[0], "neo3": MACS[1]}),
    "the first taken out": (group(MACS[1:3]), {"neo1": MACS[1], "neo2": MACS[2]}),
    "group renamed": (group(MACS[:3], "net"), {"net1": MACS[0], "net2": MACS[1], "net3": MACS[2]}),
}


@pytest.mark.parametrize("change", CHANGED_FILES)
def test_a_reload_that_exchanges_names_or_macs_converges_and_each_mac_keeps_its_lease(place, change):
    file, expected = CHANGED_FILES[change]
    place.start(group(MACS[:3]))
    leases = {place.links()[name][1]: address for name, address in place.addresses().items()}
    place.host.write_config(file)
    assert place.host.ctl("reload").status == 0
    poll(lambda: {name: link[1] for name, link in place.links().items()} == expected, 5, why="the MACs of the file")
    place.host.wait()
    kept = {name: leases[mac] for name, mac in expected.items() if mac in leases}
    assert kept.items() <= place.addresses().items()


def test_the_mtu_follows_the_parents_down_and_up_and_a_larger_one_of_the_file_is_told(place):
    place.start(group(MACS[:2]) + "[macvlans.neo.override.neo2]\nmtu = 4000\n")
    told = place.host.ctl("status").out
    assert "mtu = 4000 is more than ens3 has, so its 1500 is used" in " ".join(told.split())
    for mtu, first, second in ((9000, 9000, 4000), (1400, 1400, 1400), (5000, 5000, 4000)):
        place.run(f"link set ens3 mtu {mtu}")
        expected = {"neo1": first, "neo2": second}
        poll(lambda wanted=expected: {n: link[3] for n, link in place.links().items()} == wanted, 5, why=str(expected))
    place.host.wait()
