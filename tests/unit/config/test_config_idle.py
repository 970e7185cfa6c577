"""What is written and has no effect is said with its reason; what has one is not."""

import re

import pytest

from neod.config.load import load
from neod.features.mptcp.compile import MptcpFragment, PathManagement

UP = "[uplinks.ens3]\ntable = 33\n"
STATIC = 'ipv4 = "10.8.0.5/16"\ngateway = "10.8.0.1"\n'
NEO = '[macvlans.neo]\nparent = "ens3"\n'
PROXY = '[namespaces.proxy]\nuplink = "eth0"\nsubnet = "10.254.0.0/30"\n'
RACE = '[races.a]\nlisten = "127.0.0.1:4430"\nupstreams = ["198.51.100.10:443"]\n'
FORWARD = '[forwards.a]\nports = [443]\nto = "198.51.100.10"\n'

SAYS_NOTHING = {
    "a NIC table without a NIC": ("[uplinks]", "uplinks", "there is nothing in it"),
    "no entries": ("[forwards]", "forwards", "there is nothing in it"),
    "no sysctls": ("[sysctl]", "sysctl", "there is nothing in it"),
    "metrics nowhere": ("[metrics]", "metrics", "without listen nothing is served"),
    "NAT of nothing": ('[nat]\nbackend = "iptables"', "nat", "nothing is translated"),
    "NAT of a silent namespace": (f"{PROXY}masquerade = false\n[nat]\n", "nat", "nothing is translated"),
    "marks of one way": (f"{UP}{FORWARD}[nat]\nmark_mask = 0x00f00000", "nat.mark_mask", "no marks are used"),
    "no lease": (f"{UP}release = false", "uplinks.ens3.release", "there is no lease to give back"),
    "no lease, static": (f"{UP}{STATIC}release = true", "uplinks.ens3.release", "there is no lease to give back"),
    "probe of others": (f'{UP}probe = "off"', "uplinks.ens3.probe", "follows what others do"),
    "probe before a static one": (f'{UP}{STATIC}probe = "before"', "uplinks.ens3.probe", "used at once"),
    "release in a group": (
        f'{NEO}count = 1\nipv4 = ["10.8.0.5/16"]\ngateway = "10.8.0.1"\nrelease = false',
        "macvlans.neo.release",
        "no lease",
    ),
    "release of an override": (
        f'{NEO}count = 2\n[macvlans.neo.override.neo1]\n{STATIC}release = false',
        "macvlans.neo.override.neo1.release",
        "no lease",
    ),
    "what every override says": (
        f"{NEO}count = 1\nmtu = 1400\noverride.neo1.mtu = 1300",
        "macvlans.neo.mtu",
        "every interface of the group says its own",
    ),
    "a base for tables of their own": (
        f"{NEO}count = 1\ntable_base = 100\noverride.neo1.table = 7",
        "macvlans.neo.table_base",
        "has a table of its own",
    ),
    "limits of the other manager": (
        f'{UP}[mptcp]\npath_manager = "neod"\nsubflows = 3',
        "mptcp.subflows",
        'only with path_manager = "kernel"',
    ),
    "addresses of the other manager": (
        f'{UP}[mptcp]\npath_manager = "neod"\nadd_addr_accepted = 3',
        "mptcp.add_addr_accepted",
        'only with path_manager = "kernel"',
    ),
    "exclude with the kernel": (
        f'{UP}[mptcp]\nexclude = ["10.0.0.0/8"]', "mptcp.exclude", 'only with path_manager = "neod"'
    ),
    "max_subflows with the kernel": (f"{UP}[mptcp]\nmax_subflows = 3", "mptcp.max_subflows", "neod"),
    "max_subflows_total with the kernel": (f"{UP}[mptcp]\nmax_subflows_total = 3", "mptcp.max_subflows_total", "neod"),
    "subflows from nowhere": (
        f'{UP}mptcp = []\n[mptcp]\npath_manager = "neod"\nmax_subflows = 3', "mptcp.max_subflows", "no address"
    ),
    "a link for no relays": (f'{PROXY}relay_link = "bridge"', "namespaces.proxy.relay_link", "no relay_addresses"),
    "endpoints of no relays": (f'{PROXY}mptcp = ["signal"]', "namespaces.proxy.mptcp", "no relay_addresses"),
    "a MAC beside those of all": (
        f'{NEO}macs = ["02:4e:65:6f:00:01"]\nmac = "auto"', "macvlans.neo.mac", "every interface of the group says"
    ),
    "sources for no relays": (
        f'{PROXY}relay_snat = "10.254.1.0/24"', "namespaces.proxy.relay_snat", "no IPv4 relay_addresses"
    ),
    "sources for none of that family": (
        f'{PROXY}relay_addresses = ["203.0.113.11"]\nrelay_snat = ["10.254.1.0/24", "fd00::/64"]',
        "namespaces.proxy.relay_snat",
        "no IPv6 relay_addresses",
    ),
    "one way": (f'{RACE}sources = "none"\nstagger = "250ms"', "races.a.stagger", "there is one way"),
    "no sysctl in a table": ("[sysctl.net.ipv4]", "sysctl.net.ipv4", "nothing in it"),
    "none in that of a namespace": (
        f"{PROXY}[namespaces.proxy.sysctl.net.ipv4]", "namespaces.proxy.sysctl.net.ipv4", "nothing in it"
    ),
    "one way elsewhere": (f'{RACE}netns = "b"\nstagger = "250ms"', "races.a.stagger", "there is one way"),
    "paths of here, elsewhere": (f'{RACE}netns = "b"\nsources = "auto"', "races.a.sources", "the paths are not in b"),
    "too late": (f'{RACE}stagger = "6s"', "races.a.stagger", "timeout ends the race"),
    "keepalive of the ended": (f'{RACE}idle_timeout = "30s"\nkeepalive = "1min"', "races.a.keepalive", "idle_timeout"),
    "more of one than of all": (
        f"{RACE}max_connections = 10\nmax_connections_per_client = 20",
        "races.a.max_connections_per_client",
        "max_connections allows 10",
    ),
}  # fmt: skip

SAYS_SOMETHING = {
    "nothing but the daemon": "[daemon]",
    "lease": f'{UP}ipv4 = "dhcp"\nrelease = false\nprobe = "before"',
    "one of a group is leased": f"{NEO}count = 2\nrelease = false\n[macvlans.neo.override.neo1]\n{STATIC}",
    "one of a group says nothing else": f"{NEO}count = 2\nmtu = 1400\noverride.neo1.mtu = 1300",
    "no claims on a static address": f'{UP}{STATIC}probe = "off"',
    "auto is right with either": f'{UP}[mptcp]\npath_manager = "neod"\nsubflows = "auto"\nmax_subflows = 3',
    "NAT of a forward": f'{FORWARD}[nat]\nbackend = "iptables"\nestablished = "cut"',
    "marks of two ways": f"{UP}[uplinks.ens4]\ntable = 34\n{FORWARD}[nat]\nmark_mask = 0x00f00000",
    "a name has many addresses": f'{RACE.replace("198.51.100.10", "a.example")}sources = "none"\nstagger = "250ms"',
    "sources elsewhere": f'{RACE}netns = "b"\nsources = ["10.1.0.1", "10.1.0.2"]\nstagger = "250ms"',
    "sources without paths": f'{RACE}listen_netns = "b"\nsources = "auto"\nstagger = "250ms"',
    "relays": f'{PROXY}relay_addresses = ["203.0.113.11"]\nrelay_snat = "10.254.1.0/24"\nrelay_link = "bridge"',
    "endpoints of relays": (
        f'{PROXY}relay_addresses = ["203.0.113.11"]\nrelay_snat = "10.254.1.0/24"\nmptcp = ["signal"]'
    ),
    "a MAC of all but one": f'{NEO}count = 2\nmac = "auto"\noverride.neo1.mac = "02:4e:65:6f:00:01"',
    "MPTCP of programs alone": '[mptcp]\nsubflows = 3\nadd_addr_accepted = 2\nscheduler = "default"',
}


def warned(tmp_path, text):
    file = tmp_path / "neo.toml"
    file.write_text(text)
    return [line.removeprefix(f"{file}:") for line in load(file, {}).warnings]


@pytest.mark.parametrize("case", SAYS_NOTHING)
def test_what_has_no_effect_is_said_once_with_its_place_and_reason(tmp_path, case):
    text, key, reason = SAYS_NOTHING[case]
    said = [line for line in warned(tmp_path, text) if re.match(rf"\d+:\d+: {re.escape(key)}: ", line)]
    assert len(said) == 1
    assert reason in said[0]


@pytest.mark.parametrize("case", SAYS_SOMETHING)
def test_what_has_an_effect_is_not_warned_of(tmp_path, case):
    assert warned(tmp_path, SAYS_SOMETHING[case]) == []


def test_mptcp_alone_counts_for_the_programs_of_the_host(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text('[mptcp]\npath_manager = "neod"\n')
    intents = load(file, {})
    assert [one.netns for one in intents.of(PathManagement)] == [""]
    (limits,) = [one for one in intents.fragments if isinstance(one, MptcpFragment)]
    assert (limits.netns, limits.manager, limits.origin.path) == ("", "neod", "mptcp")
