"""What a right file comes to."""

import random
import re
import tomllib
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import get_args

import pytest

from neod.config.load import load
from neod.config.root import TABLES
from neod.features.daemon.compile import DaemonSettings
from neod.features.intents import Intents
from neod.features.macvlans.compile import MacvlanFragment, ParentFragment
from neod.features.macvlans.host import HostFragment
from neod.features.metrics.compile import MetricsSettings
from neod.features.parts import PathInfo
from neod.features.path import PathFragment
from neod.features.sysctl.compile import SysctlFragment
from neod.features.uplinks.compile import FollowFragment
from neod.kinds import KINDS
from neod.kinds.sysctl import SysctlKey
from neod.model.errors import ConfigError
from neod.model.facts import DhcpClient, Host, ProbePolicy
from neod.model.want import FactKey, Origin
from neod.reconcile.desired import DesiredState

SAMPLE = Path(__file__).with_name("sample.toml").read_text(encoding="utf-8")
GROUP = '[macvlans.neo]\nparent = "ens3"\n'


@pytest.fixture
def read(tmp_path):
    def reading(text, environ=None):
        file = tmp_path / "neo.toml"
        file.write_text(text, encoding="utf-8")
        return load(file, environ or {})

    return reading


def fragment(intents, name):
    (found,) = [one for one in intents.fragments if one.name == name]
    return found


def follow(intents):
    return [path.name for path in intents.of(PathInfo) if path.ipv4 == "follow"]


def line_of(text):
    return SAMPLE.split("\n").index(text) + 1


def sysctls(intents):
    (found,) = [one for one in intents.fragments if isinstance(one, SysctlFragment)]
    return {path: value for path, value, _ in found.values}


def nowhere(value):
    """The same with every line forgotten."""
    if isinstance(value, Origin):
        return replace(value, line=0)
    if isinstance(value, str):
        return re.sub(r"neo\.toml:\d+:\d+:", "", value)
    if isinstance(value, tuple):
        return tuple(nowhere(item) for item in value)
    if isinstance(value, dict):
        return {key: nowhere(item) for key, item in value.items()}
    if is_dataclass(value):
        return replace(value, **{field.name: nowhere(getattr(value, field.name)) for field in fields(value)})
    return value


# ── tables ────────────────────────────────────────────────────────────────────


def test_a_group_of_macvlans_has_a_link_and_a_path_for_each_number(read):
    intents = read(SAMPLE)
    origin = Origin("macvlans.neo", line_of("[macvlans.neo]"))
    assert fragment(intents, "macvlans.neo/neo1") == MacvlanFragment(
        "macvlans.neo/neo1", "neo1", "ens3", "private", "", None, origin, True
    )
    assert fragment(intents, "macvlans.neo/neo1/path") == PathFragment(
        "macvlans.neo/neo1/path", "neo1", "ens3", None, None, 1, None, False, origin
    )
    assert [path.name for path in intents.of(PathInfo) if path.origin.path.startswith("macvlans.neo")] == [
        f"neo{number}" for number in range(1, 9)
    ]


def test_an_override_counts_for_its_interface_and_is_its_origin(read):
    intents = read(SAMPLE)
    origin = Origin("macvlans.neo.override.neo3", line_of("[macvlans.neo.override.neo3]"))
    assert fragment(intents, "macvlans.neo/neo3").mac == "02:4e:65:6f:00:03"
    assert fragment(intents, "macvlans.neo/neo3/path").table == 133
    assert fragment(intents, "macvlans.neo/neo3").origin == fragment(intents, "macvlans.neo/neo3/path").origin == origin
    assert fragment(intents, "macvlans.neo/neo4").mac == ""


def test_an_override_says_only_what_it_says(read):
    intents = read(SAMPLE)
    link, path = fragment(intents, "macvlans.fix/fix9"), fragment(intents, "macvlans.fix/fix9/path")
    assert (link.parent, link.mode, link.mtu) == ("ens3", "vepa", 1400)
    assert (path.ipv4, path.gateway, path.table) == (None, None, 49)


def test_static_addresses_go_to_the_interfaces_in_the_order_of_their_numbers(read):
    intents = read(SAMPLE)
    path = fragment(intents, "macvlans.fix/fix2/path")
    assert (path.ipv4, path.gateway) == (IPv4Interface("10.8.0.6/16"), IPv4Address("10.8.0.1"))


def test_macs_make_one_interface_each_and_are_written_in_lower_case(read):
    intents = read(SAMPLE)
    assert [fragment(intents, f"macvlans.mac/mac{number}").mac for number in (1, 2)] == [
        "02:00:00:00:00:0a",
        "02:00:00:00:00:0b",
    ]


def test_every_nic_below_macvlans_has_one_fragment(read):
    parents = [one for one in read(SAMPLE).fragments if isinstance(one, ParentFragment)]
    assert [one.link for one in parents] == ["ens3", "ens4"]


def test_an_uplink_follows_by_default(read):
    intents = read("[uplinks.ens3]\ntable = 33\n")
    assert intents.fragments[0] == FollowFragment("uplinks.ens3", "ens3", 33, Origin("uplinks.ens3", 1))
    assert follow(intents) == ["ens3"]
    assert intents.of(DhcpClient) == ()


def test_an_uplink_that_neod_configures_is_in_the_main_table_too(read):
    intents = read(SAMPLE)
    assert fragment(intents, "uplinks.ens4").main
    assert fragment(intents, "uplinks.ens4").ipv4 == IPv4Interface("10.9.0.5/24")
    assert fragment(intents, "uplinks.eth0.100").ipv4 is None


def test_dhcp_clients_are_the_links_that_lease_and_name_their_wire(read):
    clients = {client.link: client for client in read(SAMPLE).of(DhcpClient)}
    assert clients["eth0.100"] == DhcpClient("eth0.100", "eth0.100", "", probe=ProbePolicy.BEFORE, release=False)
    assert clients["neo3"] == DhcpClient("neo3", "ens3", "02:4e:65:6f:00:03", probe=ProbePolicy.OFF)
    assert clients["fix9"] == DhcpClient("fix9", "ens3", "")
    assert "fix1" not in clients
    assert "ens4" not in clients


def test_paths_say_what_status_shows(read):
    paths = {path.name: path for path in read(SAMPLE).of(PathInfo)}
    assert (paths["ens3"].parent, paths["ens3"].ipv4, paths["ens3"].table, paths["ens3"].mptcp) == (
        "",
        "follow",
        33,
        ("subflow",),
    )
    assert (paths["fix1"].parent, paths["fix1"].ipv4, paths["fix1"].table) == ("ens4", "static", 41)
    assert paths["ens4"].mptcp == ()


def test_sysctls_are_known_by_their_path_whichever_way_they_are_written(read):
    assert sysctls(read(SAMPLE)) == {
        "net/core/somaxconn": "4096",
        "net/ipv4/conf/eth0.100/forwarding": "1",
        "net/ipv4/tcp_congestion_control": "bbr",
        "net/ipv4/tcp_rmem": "4096 131072 6291456",
    }


@pytest.mark.parametrize(
    "key",
    [
        '"net.ipv4.conf.eth0.100.forwarding"',
        '"net.ipv4.conf.eth0/100.forwarding"',
        '"net/ipv4/conf/eth0.100/forwarding"',
        "net.ipv4.conf.eth0.100.forwarding",
        'net.ipv4.conf."eth0.100".forwarding',
    ],
)
def test_an_interface_whose_name_has_dots_has_its_sysctls_in_every_spelling(read, key):
    assert sysctls(read(f"[sysctl]\n{key} = 1\n")) == {"net/ipv4/conf/eth0.100/forwarding": "1"}


def test_a_sysctl_points_to_its_line(read):
    (found,) = [one for one in read(SAMPLE).fragments if isinstance(one, SysctlFragment)]
    lines = {path: origin.line for path, _, origin in found.values}
    assert lines["net/core/somaxconn"] == line_of("net.core.somaxconn = 4096")


def test_a_sysctl_that_says_what_a_role_implies_is_fine(read):
    intents = read(GROUP + 'count = 1\n[sysctl]\n"net.ipv4.conf.neo1.arp_ignore" = 1\n')
    key = SysctlKey("", "net/ipv4/conf/neo1/arp_ignore")
    desired = DesiredState(KINDS)
    desired.replace(intents.fragments, {FactKey("host"): Host("x")})
    assert desired.wants[key].spec.value == "1"


def test_a_larger_neighbour_threshold_of_the_file_stands(read):
    intents = read(GROUP + 'count = 100\n[sysctl]\n"net.ipv4.neigh.default.gc_thresh3" = 65536\n')
    desired = DesiredState(KINDS)
    desired.replace(intents.fragments, {FactKey("host"): Host("x")})
    wants = {key.path: want.spec for key, want in desired.wants.items() if "gc_thresh" in str(key)}
    assert (wants["net/ipv4/neigh/default/gc_thresh3"].value, wants["net/ipv4/neigh/default/gc_thresh1"].value) == (
        "65536",
        "400",
    )
    assert not wants["net/ipv4/neigh/default/gc_thresh3"].at_least


def test_the_host_makes_room_for_the_neighbours_of_all_paths(read):
    (host,) = [one for one in read(SAMPLE).fragments if isinstance(one, HostFragment)]
    assert host.paths == 16


def test_settings_of_two_tables_come_together(read):
    assert read(SAMPLE).settings(DaemonSettings) == DaemonSettings(resync_s=90.0)
    assert read(SAMPLE).settings(MetricsSettings) == MetricsSettings("127.0.0.1:0")


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("daemon", {DaemonSettings: (DaemonSettings(),)}),
        ("metrics", {MetricsSettings: (MetricsSettings(),)}),
        ("uplinks", {}),
        ("macvlans", {}),
        ("sysctl", {}),
    ],
)
def test_a_table_alone_asks_for_nothing_and_may(read, table, values):
    intents = read(f"[{table}]\n")
    assert replace(intents, warnings=()) == Intents(fragments=(), values=values, source=intents.source)


def test_the_defaults_of_the_file_are_those_of_the_daemon(read):
    for kind in (DaemonSettings, MetricsSettings):
        assert read("[daemon]\n[metrics]\n").of(kind) == (kind(),)


def test_all_fragments_have_names_of_their_own(read):
    names = [one.name for one in read(SAMPLE).fragments]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("90", 90),
        ("2min", 120),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("1.5 hours", 5400),
        ("1500ms", 1.5),
        ("2000000us", 2),
        ("2000000µs", 2),
        ("1d", 86400),
        (" 5 s ", 5),
    ],
)
def test_durations_are_what_systemd_writes(read, text, seconds):
    assert read(f'[daemon]\nresync = "{text}"\n').settings(DaemonSettings).resync_s == pytest.approx(seconds)


def test_a_slash_thirty_two_may_have_its_gateway_anywhere(read):
    intents = read('[uplinks.a]\ntable = 1\nipv4 = "203.0.113.5/32"\ngateway = "198.51.100.1"\n')
    assert intents.fragments[0].gateway == IPv4Address("198.51.100.1")


def test_a_slash_thirty_one_has_two_hosts(read):
    assert read('[uplinks.a]\ntable = 1\nipv4 = "10.0.0.0/31"\ngateway = "10.0.0.1"\n').fragments


def test_a_group_may_have_more_than_252_interfaces_with_another_table_base(read):
    intents = read(GROUP + "count = 4000\ntable_base = 1000\n")
    assert intents.of(PathInfo)[-1].table == 5000


# ── warnings ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            GROUP + "count = 9\n",
            "neo.toml:1:2: macvlans: 9 addresses ask for an MPTCP endpoint, and the kernel's path manager holds 8: "
            'the others wait; [mptcp] path_manager = "neod" has room for all',
        ),
        (
            GROUP + 'count = 20\nmode = "bridge"\nmptcp = []\n',
            'neo.toml:4:1: macvlans.neo.mode: bridge copies every broadcast to all 20 interfaces; "private" does not',
        ),
        (
            GROUP + "count = 251\ntable_base = 300\nmptcp = []\n",
            "neo.toml:1:11: macvlans.neo: 251 MACs on one port are more than many switches learn, "
            "and 251 leases more than a /24 has",
        ),
        (
            GROUP + "count = 2\n[mptcp]\nmax_subflows_total = 9\n",
            'neo.toml:5:1: mptcp.max_subflows_total: it counts only with path_manager = "neod"',
        ),
        (
            '[uplinks.a]\ntable = 1\nipv4 = "10.8.0.5/24"\ngateway = "10.8.1.1"\n',
            "neo.toml:4:1: uplinks.a.gateway: the gateway 10.8.1.1 is outside of 10.8.0.0/24: it has to answer ARP on "
            "the link itself",
        ),
        (
            GROUP + 'count = 1\nipv4 = ["10.8.0.5/24"]\ngateway = "10.8.1.1"\n',
            "neo.toml:5:1: macvlans.neo.gateway: the gateway 10.8.1.1 is outside of 10.8.0.0/24: it has to answer ARP "
            "on the link itself",
        ),
        (
            "[uplinks.a]\ntable = 1\nrelease = true\n",
            "neo.toml:3:1: uplinks.a.release: there is no lease to give back: release goes with leased addresses",
        ),
        (
            GROUP + 'count = 1\nipv4 = ["10.8.0.5/24"]\ngateway = "10.8.0.1"\nrelease = false\n',
            "neo.toml:6:1: macvlans.neo.release: there is no lease to give back: release goes with leased addresses",
        ),
    ],
)
def test_what_works_but_is_probably_not_meant_is_a_warning(read, text, line):
    assert read(text).warnings[0].rpartition("/neo.toml:")[2] == line.removeprefix("neo.toml:")


def test_eight_macvlans_are_no_reason_to_warn(read):
    assert read(GROUP + "count = 8\n").warnings == ()


# ── variables ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"NEO_DAEMON__LOG_LEVEL": "debug"}, lambda intents: intents.settings(DaemonSettings).log_level == "debug"),
        (
            {"NEO_METRICS__LISTEN": "[::1]:9110"},
            lambda intents: intents.settings(MetricsSettings).listen == "[::1]:9110",
        ),
        ({"NEO_MACVLANS__NEO__COUNT": "3"}, lambda intents: len(intents.of(DhcpClient)) == 3),
        ({"NEO_MACVLANS__NEO__MPTCP": '["signal"]'}, lambda intents: intents.of(PathInfo)[0].mptcp == ("signal",)),
        ({"NEO_MACVLANS__NEO__OVERRIDE__NEO1__MTU": "1280"}, lambda intents: intents.fragments[0].mtu == 1280),
        (
            {
                "NEO_MACVLANS__NEO__IPV4": '["10.0.0.2/24", "10.0.0.3/24"]',
                "NEO_MACVLANS__NEO__GATEWAY": "10.0.0.1",
            },
            lambda intents: intents.of(PathInfo)[1].ipv4 == "static",
        ),
        ({"NEO_UPLINKS__ENS9__TABLE": "9"}, lambda intents: follow(intents) == ["ens9"]),
        (
            {"NEO_UPLINKS__ENS9": '{"table": 9, "ipv4": "dhcp"}'},
            lambda intents: intents.of(DhcpClient)[0].link == "ens9",
        ),
        (
            {"NEO_SYSCTL": '{"net.ipv4.ip_forward": 1}'},
            lambda intents: sysctls(intents) == {"net/ipv4/ip_forward": "1"},
        ),
        ({"neo_daemon__on_stop": "remove"}, lambda intents: intents.settings(DaemonSettings).on_stop == "remove"),
        ({"NEO_DAEMON__LOG_LEVEL": ""}, lambda intents: intents.settings(DaemonSettings).log_level == "warning"),
    ],
)
def test_a_variable_outranks_the_file(read, environ, found):
    assert found(read(GROUP + 'count = 2\n[daemon]\nlog_level = "warning"\n', environ))


def test_a_variable_finds_the_entry_however_the_file_spells_it(read):
    intents = read("[uplinks.enP1s0]\ntable = 5\n", {"NEO_UPLINKS__ENP1S0__TABLE": "6"})
    assert [(path.name, path.table) for path in intents.of(PathInfo)] == [("enP1s0", 6)]


def test_what_a_variable_says_has_no_line(read):
    intents = read("[daemon]\n", {"NEO_UPLINKS__ENS9__TABLE": "9"})
    assert intents.of(PathInfo)[0].origin.line == 0


def test_a_variable_of_somebody_else_says_nothing(read):
    of_others = {"NEO_LICENSE": "x", "NEOVIM": "y", "NEO_BIN": "/opt/neo", "NEO_PROXY__HOST": "z", "NEO__": "1"}
    assert read("[daemon]\n", of_others).warnings == ()


def test_a_variable_with_one_underscore_for_two_is_a_warning(read):
    (line,) = read("[daemon]\n", {"NEO_DAEMON_LOG_LEVEL": "debug"}).warnings
    assert line.startswith("NEO_DAEMON_LOG_LEVEL: ")
    assert line.endswith("two underscores stand between table and key, as in NEO_DAEMON__LOG_LEVEL")


def test_a_variable_cannot_stand_in_for_the_file(tmp_path):
    with pytest.raises(ConfigError):
        load(tmp_path / "neo.toml", {"NEO_DAEMON__LOG_LEVEL": "debug"})


@pytest.mark.parametrize("key", ["_env_file", "_build_sources", "__pydantic_self__", "model_config"])
def test_names_of_the_library_are_unknown_tables_like_any_other(read, key):
    for environ in ({}, {"NEO_DAEMON__LOG_LEVEL": "debug"}):
        with pytest.raises(ConfigError, match="there is no such table"):
            read(f"{key} = 1\n[daemon]\n", environ)


# ── laws ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_tables_changes_nothing(read, seed):
    """L7. Only the line numbers may differ."""
    tables = re.split(r"\n(?=\[)", SAMPLE)
    random.Random(seed).shuffle(tables)
    shuffled = "\n".join(tables) + "\n"
    assert shuffled != SAMPLE
    there, here = nowhere(read(shuffled)), nowhere(read(SAMPLE))
    assert set(there.warnings) == set(here.warnings)
    assert replace(there, warnings=()) == replace(here, warnings=())


def keys_said(section):
    """The keys of a table, of all its entries and of their overrides."""
    for key, value in section.items():
        yield key
        if isinstance(value, dict):
            yield from keys_said(value)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "sysctl"])
def test_the_sample_says_all_that_can_be_said(name):
    section = TABLES[name].section
    entry = get_args(section)[1] if get_args(section) else section
    assert entry.model_fields.keys() <= set(keys_said(tomllib.loads(SAMPLE)[name]))


OWN_LINKS = """
[macvlans.neo]
parent = "ens3"
count = 2
override.neo2.ipv6 = "follow"
[links.br0]
kind = "bridge"
[links.br1]
kind = "bridge"
[links.br2]
kind = "bridge"
ipv6 = "follow"
[uplinks.br1]
table = 7
[namespaces.a]
uplink = "ens3"
subnet = "10.254.0.0/30"
[namespaces.b]
uplink = "ens3"
subnet = ["10.254.1.0/30", "fd00::/126"]
"""


def implied(intents):
    return {path: value for path, value, _ in fragment(intents, "sysctl/implied").values}


def test_own_links_are_without_ipv6_unless_the_file_says_otherwise(read):
    assert implied(read(OWN_LINKS)) == {
        "net/ipv6/conf/neo1/disable_ipv6": "1",
        "net/ipv6/conf/br0/disable_ipv6": "1",
        "net/ipv6/conf/neo-a/disable_ipv6": "1",
        "net/ipv6/conf/neo-b/accept_ra": "0",
    }


def test_what_the_file_sets_itself_is_not_implied(read):
    intents = read(OWN_LINKS + '[sysctl]\n"net.ipv6.conf.neo1.disable_ipv6" = 0\n')
    assert "net/ipv6/conf/neo1/disable_ipv6" not in implied(intents)
