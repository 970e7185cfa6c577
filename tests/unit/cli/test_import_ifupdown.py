"""``neodctl import ifupdown``: the printed file is valid and means what the interfaces file and its hooks meant."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neod.cli.commands import import_
from neod.cli.ifupdown import logical_lines, parse
from neod.cli.ifupdown_hooks import HookRule, hook_rule
from neod.cli.ifupdown_paths import Imported, understand
from neod.cli.ifupdown_toml import toml
from neod.cli.main import main
from neod.config.load import load
from neod.features.macvlans.compile import MacvlanFragment
from neod.features.path import PathFragment
from neod.features.uplinks.compile import FollowFragment

HOOK = """#!/bin/sh
case "$IFACE" in
    lo) exit 0 ;;
    ens3) TABLE=33 ;;
    *) TABLE=$(echo "$IFACE" | tr -dc 0-9) ;;
esac
ip route add default via "$GATEWAY" dev "$IFACE" table "$TABLE"
ip rule add from "$ADDRESS" table "$TABLE"
"""
TWO = """
auto lo
iface lo inet loopback

auto ens3
iface ens3 inet dhcp

auto neo1
iface neo1 inet dhcp
    pre-up ip link add link ens3 neo1 address 02:4e:65:6f:00:01 type macvlan
    post-down ip link del neo1

auto neo2
iface neo2 inet static
    pre-up ip link add name $IFACE link ens3 type macvlan mode private || true
    address 10.8.0.32
    netmask 255.255.0.0
    gateway 10.8.0.1
    up echo up \\
       and away
    dns-nameservers 10.8.0.53
iface neo2 inet6 auto
"""


@dataclass(frozen=True)
class Meaning:
    """What one interface comes to, however it is written."""

    parent: str
    mode: str
    mac: str
    ipv4: str
    gateway: str
    table: int
    mtu: str = ""


def meaning(text: str, tmp_path: Path) -> dict[str, Meaning]:
    """Return what a neo.toml means, by interface."""
    file = tmp_path / "neo.toml"
    file.write_text(text)
    units = load(file, {}).fragments
    paths = {unit.link: unit for unit in units if isinstance(unit, PathFragment)}
    return {
        unit.link: Meaning(
            unit.parent, unit.mode, unit.mac, str(paths[unit.link].ipv4 or "dhcp"),
            str(paths[unit.link].gateway or ""), paths[unit.link].table, str(unit.mtu or ""),
        )
        for unit in units if isinstance(unit, MacvlanFragment)
    }  # fmt: skip


def followed(text: str, tmp_path: Path) -> dict[str, int]:
    """Return the tables of followed NICs."""
    file = tmp_path / "neo.toml"
    file.write_text(text)
    return {unit.link: unit.table for unit in load(file, {}).fragments if isinstance(unit, FollowFragment)}


def understood(text: str, *hooks: str) -> Imported:
    """Return what an interfaces file without sources means."""
    rule = hook_rule((f"hook{number}", hook) for number, hook in enumerate(hooks, 1))
    return understand(parse(text, "interfaces", lambda word, what, name: ()), rule, {"isp": 77})


def imported(text: str, *hooks: str) -> str:
    """Return the neo.toml for an interfaces file without sources."""
    return toml(understood(text, *hooks), "interfaces")


def test_stanzas_and_the_rule_of_the_hook_come_to_the_same_in_neo(tmp_path: Path) -> None:
    text = imported(TWO, HOOK)
    assert meaning(text, tmp_path) == {
        "neo1": Meaning("ens3", "vepa", "02:4e:65:6f:00:01", "dhcp", "", 1),
        "neo2": Meaning("ens3", "private", "", "10.8.0.32/16", "10.8.0.1", 2),
    }
    assert followed(text, tmp_path) == {"ens3": 33}


def test_what_has_no_place_is_named_with_its_line() -> None:
    comments = imported(TWO, HOOK).partition("# Left out")[2]
    assert comments.splitlines()[1:] == [
        "#   interfaces:6: iface ens3 inet dhcp: ens3 stays with ifupdown, and neo follows its address",
        "#   interfaces:19: up echo up and away: neod runs no commands",
        "#   interfaces:21: dns-nameservers 10.8.0.53: neo has no place for it",
        "#   interfaces:22: iface neo2 inet6 auto: inet6 auto: neo has no place for it",
    ]


@pytest.mark.parametrize(
    ("stanza", "why"),
    [
        ("iface mv inet dhcp\n pre-up ip link add link ens3 mv type macvlan", "ends in no number"),
        ("iface mv01 inet dhcp\n pre-up ip link add link ens3 mv01 type macvlan", "ends in no number"),
        ("iface mv1 inet manual\n pre-up ip link add link ens3 mv1 type macvlan", "no IPv4 address"),
        (
            "iface mv1 inet static\n address 10.8.0.9/16\n pre-up ip link add link ens3 mv1 type macvlan",
            "without a gateway",
        ),
        ("iface mv1 inet dhcp\n pre-up ip link add link ens3 mv1 type macvlan mode passthru", "mode passthru"),
    ],
)
def test_what_neo_cannot_make_is_said(stanza: str, why: str) -> None:
    assert why in imported(stanza)


def test_a_nic_whose_table_a_macvlan_has_is_left_out(tmp_path: Path) -> None:
    text = imported(
        "iface ens3 inet dhcp\niface neo3 inet dhcp\n pre-up ip link add link ens3 neo3 type macvlan\n",
        HOOK.replace("ens3) TABLE=33", "ens9) TABLE=99"),
    )
    assert followed(text, tmp_path) == {}
    assert "3 belongs to neo3 already" in text
    assert meaning(text, tmp_path)["neo3"].table == 3


def test_more_paths_than_the_kernel_takes_make_neod_the_path_manager(tmp_path: Path) -> None:
    stanza = "iface neo{0} inet dhcp\n pre-up ip link add link ens3 neo{0} type macvlan\n"
    nine = imported("".join(stanza.format(number) for number in range(1, 10)))
    assert 'path_manager = "neod"' in nine
    assert len(meaning(nine, tmp_path)) == 9
    assert "[mptcp]" not in imported("".join(stanza.format(number) for number in range(1, 9)))


def test_a_table_named_in_the_stanza_outranks_the_hooks(tmp_path: Path) -> None:
    text = imported(
        "iface neo1 inet dhcp\n pre-up ip link add link ens3 neo1 type macvlan\n"
        " up ip route add default via 10.8.0.1 table 71\n",
        HOOK,
    )
    assert meaning(text, tmp_path)["neo1"].table == 71
    assert "interfaces:3: up ip route add default via 10.8.0.1 table 71: neo1 takes the gateway of its lease" in text


@pytest.mark.parametrize(
    ("hook", "rule"),
    [
        pytest.param(HOOK, HookRule({"ens3": 33}, True), id="case"),
        pytest.param(
            '#!/bin/sh\ntable="${IFACE##*[!0-9]}"\n[ "$IFACE" = ens3 ] && table=33\nip rule add table $table\n',
            HookRule({"ens3": 33}, True),
            id="test",
        ),
        pytest.param(
            '#!/bin/bash\nif [[ "$IFACE" == "ens3" ]]; then\n  TABLE=33\nelse\n'
            "  TABLE=$(sed 's/[^0-9]//g' <<< $IFACE)\nfi\nip route add default table $TABLE\n",
            HookRule({"ens3": 33}, True),
            id="if",
        ),
        pytest.param(
            "n=$(echo $IFACE | grep -o '[0-9]*')\ntable=$((100 + n))\nip rule add from $A table $table\n",
            HookRule({}, True, 100),
            id="base",
        ),
        pytest.param("#!/bin/sh\n# IFACE: ip rule add table 7\nresolvconf -a $IFACE\n", HookRule(), id="another hook"),
    ],
)
def test_hooks_are_read_for_their_table_rule(hook: str, rule: HookRule) -> None:
    found = hook_rule([("hook", hook)])
    assert (found.exceptions, found.by_number, found.base) == (rule.exceptions, rule.by_number, rule.base)


def test_what_hooks_do_besides_is_named_with_its_line() -> None:
    left_out = understood(
        "iface neo1 inet dhcp\n pre-up ip link add link ens3 neo1 type macvlan\n",
        HOOK + 'ip route add 172.16.0.0/12 via "$GATEWAY" table "$TABLE"\nip rule add fwmark 7 table "$TABLE"\n',
        "#!/bin/sh\nip rule add from $A table isp # $IFACE\n",
        "ip link add link ens3 neo2 type macvlan\n",
    ).left_out
    assert [text.rpartition(": ")[0][:6] + "…" + text.rpartition(": ")[2] for text in left_out] == [
        "hook1:…neo's tables have a default route and the subnet",
        "hook1:…neo's rules are from the address alone",
        "hook2:…neo does not see which table the hook takes",
        "hook3:…neo reads no scripts that make macvlans",
    ]


def test_a_backslash_at_the_very_end_loses_nothing() -> None:
    assert [(line.word, line.rest) for line in logical_lines("auto \\\n neo1\\", "f")] == [("auto", "neo1")]


def test_sources_that_go_in_a_circle_end() -> None:
    line = "source me\niface neo1 inet dhcp\n"
    found = parse(line, "me", lambda word, what, name: [("me", line, "")])
    assert [stanza.name for stanza in found.stanzas] == ["neo1"]
    assert [(line.place, why) for line, why in found.strange] == [("me:1", "me is being read already")]


def test_the_command_reads_sources_and_hooks_beside_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("interfaces.d", "if-up.d", "if-post-down.d"):
        (tmp_path / folder).mkdir()
    (tmp_path / "interfaces").write_text("source interfaces.d/*\nsource-directory interfaces.d\n")
    (tmp_path / "interfaces.d/campus").write_text(TWO)
    (tmp_path / "if-up.d/neo").write_text(HOOK)
    assert main(["import", "ifupdown", str(tmp_path / "interfaces")]) == 0
    assert set(meaning(capsys.readouterr().out, tmp_path)) == {"neo1", "neo2"}
    assert main(["import", "ifupdown", str(tmp_path / "interfaces"), "--json"]) == 0
    assert "[macvlans.neo]" in json.loads(capsys.readouterr().out)["lines"]


@pytest.mark.parametrize("text", [None, "", "iface eth0 inet dhcp\n"])
def test_nothing_to_import_is_said_with_a_status(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "interfaces").write_text(text)
    assert main(["import", "ifupdown", str(tmp_path / "interfaces")]) == 78
    said = capsys.readouterr()
    assert said.out == "" and "interfaces: " in said.err and "Traceback" not in said.err


LINK = " pre-up ip link add link eth0 name mac1 type macvlan mode bridge\n"
LEASED = "auto mac1\niface mac1 inet dhcp\n" + LINK
STATIC = "auto mac1\niface mac1 inet static\n address 10.0.0.5/24\n gateway 10.0.0.1\n" + LINK
HERE = "10.0.0.5/24"


@dataclass(frozen=True)
class Form:
    """What people write, which interfaces come of it, and which of its lines are left out, with a word of the reason."""

    text: str
    says: dict[str, dict[str, object]]
    left_out: dict[int, str]


def form(name: str, text: str, says: dict[str, dict[str, object]], left_out: dict[int, str] | None = None) -> object:
    return pytest.param(Form(text, says, left_out or {}), id=name)


FORMS = [
    form("debian wiki", LEASED + " post-down ip link del mac1\n", {"mac1": {"mode": "bridge", "table": 1}}),
    form("deleted with all its words", LEASED + " post-down ip link del mac1 link eth0 type macvlan mode bridge\n", {"mac1": {}}),
    form("a MAC in the command", LEASED.replace("mac1 type", "mac1 address 56:8A:EA:2F:5C:01 type"), {"mac1": {"mac": "56:8a:ea:2f:5c:01"}}),
    form("a MAC in a second step", LEASED + " pre-up ip link set dev mac1 address 02:11:22:33:44:55 up\n", {"mac1": {"mac": "02:11:22:33:44:55"}}),
    form("two MACs", LEASED.replace("mac1 type", "mac1 address 02:11:22:33:44:01 type") + " pre-up ip link set mac1 address 02:11:22:33:44:55\n", {"mac1": {"mac": "02:11:22:33:44:55"}}, {3: "says another mac"}),
    form("hwaddress ether", LEASED + " hwaddress ether 02:11:22:33:44:55\n", {"mac1": {"mac": "02:11:22:33:44:55"}}),
    form("hwaddress random", LEASED + " hwaddress random\n", {"mac1": {"mac": ""}}, {4: "stays the same"}),
    form("a MAC with dashes", LEASED + " hwaddress 02-11-22-33-44-55\n", {"mac1": {"mac": ""}}, {4: "is not a MAC"}),
    form("ifconfig hw ether", LEASED + " pre-up ifconfig mac1 hw ether 02:11:22:33:44:55\n", {"mac1": {"mac": "02:11:22:33:44:55"}}),
    form("the same MAC twice", LEASED + " hwaddress 02:00:00:00:00:01\n" + LEASED.replace("mac1", "mac2") + " hwaddress 02:00:00:00:00:01\n", {"mac1": {"mac": "02:00:00:00:00:01"}, "mac2": {"mac": ""}}, {8: "mac1 has 02:00:00:00:00:01 already"}),
    form("is it there already", LEASED.replace("pre-up", "pre-up ip link show mac1 >/dev/null 2>&1 ||"), {"mac1": {}}),
    form("[ -d ]", LEASED.replace("pre-up", "pre-up [ -d /sys/class/net/mac1 ] ||"), {"mac1": {}}),
    form("[ ! -e ]", LEASED.replace("pre-up", "pre-up [ ! -e /sys/class/net/$IFACE ] &&"), {"mac1": {}}),
    form("if ! test", LEASED.replace("pre-up ", "pre-up if ! ip link show mac1; then ").replace("bridge", "bridge; fi"), {"mac1": {}}),
    form("grep", LEASED.replace("pre-up", "pre-up ip link | grep -q mac1 ||"), {"mac1": {}}),
    form("if another is not there", LEASED.replace("pre-up", "pre-up ip link show eth9 ||") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {3: "known only when it runs"}),
    form("on a condition", LEASED.replace("pre-up", "pre-up /usr/bin/is-first &&") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {3: "known only when it runs"}),
    form("as a second choice", LEASED.replace("pre-up", "pre-up ip link set eth0 up ||") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {3: "known only when it runs"}),
    form("|| true", LEASED.replace("bridge", "bridge || true") + " down ip link del mac1 || :\n", {"mac1": {}}),
    form("|| echo", LEASED.replace("bridge", "bridge || { echo failed; exit 1; }"), {"mac1": {}}),
    form("sudo, modprobe, and &&", LEASED.replace("pre-up ip", "pre-up modprobe macvlan && sudo /sbin/ip").replace("bridge", "bridge && ip link set mac1 up"), {"mac1": {}}),
    form("parentheses", LEASED.replace("pre-up ip", "pre-up (ip").replace("bridge", "bridge)"), {"mac1": {}}),
    form("sh -c", LEASED.replace("pre-up ip", "pre-up sh -c 'ip").replace("bridge", "bridge'"), {"mac1": {}}),
    form("a comment in the shell", LEASED.replace("bridge", "bridge # ; ip link set mac1 mtu 900"), {"mac1": {"mtu": ""}}),
    form("short forms", LEASED.replace("ip link add link eth0 name mac1", "ip l a mac1 link eth0"), {"mac1": {}}),
    form("dev", LEASED.replace("name mac1", "dev mac1"), {"mac1": {}}),
    form("$IFACE", LEASED.replace("name mac1", "name ${IFACE}"), {"mac1": {}}),
    form("no mode", LEASED.replace(" mode bridge", ""), {"mac1": {"mode": "vepa"}}),
    form("mode in a second step", LEASED + " pre-up ip link set mac1 type macvlan mode private\n", {"mac1": {"mode": "private"}}, {3: "says another mode"}),
    form("passthru", LEASED.replace("mode bridge", "mode passthru"), {"mac1": {"mode": "private"}}, {3: "mode passthru"}),
    form("an option of the link", LEASED.replace("mode bridge", "mode bridge bcqueuelen 9"), {"mac1": {}}, {3: "bcqueuelen 9"}),
    form("on a VLAN", LEASED.replace("eth0", "eth0.100") + " pre-up ip link add link eth0 name eth0.100 type vlan id 100\n", {"mac1": {"parent": "eth0.100"}}, {4: "[links]"}),
    form("mtu", LEASED + " mtu 1400\n", {"mac1": {"mtu": "1400"}}),
    form("mtu by command", LEASED + " up ip link set dev mac1 mtu 1400\n", {"mac1": {"mtu": "1400"}}),
    form("mtu that cannot be", LEASED + " mtu 68\n", {"mac1": {"mtu": ""}}, {4: "not between"}),
    form("the classic netmask", STATIC.replace("/24", "\n netmask 255.255.255.0"), {"mac1": {"ipv4": HERE, "gateway": "10.0.0.1"}}),
    form("netmask as a number", STATIC.replace("/24", "\n netmask 24"), {"mac1": {"ipv4": HERE}}),
    form("netmask by class", STATIC.replace("/24", ""), {"mac1": {"ipv4": "10.0.0.5/8"}}),
    form("netmask by class C", STATIC.replace("/24", "").replace("10.0.0", "192.168.0"), {"mac1": {"ipv4": "192.168.0.5/24"}}),
    form("two masks", STATIC + " netmask 255.255.0.0\n", {"mac1": {"ipv4": HERE}}, {6: "the address is 10.0.0.5/24"}),
    form("a mask with holes", STATIC.replace("/24", "\n netmask 255.0.255.0") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {1: "mac1", 2: "no IPv4 address", 3: "netmask 255.0.255.0", 4: "netmask 255.0.255.0", 5: "mac1", 6: "mac1"}),
    form("broadcast and network", STATIC + " broadcast 10.0.0.255\n network 10.0.0.0\n", {"mac1": {}}),
    form("another broadcast", STATIC + " broadcast 10.0.3.255\n", {"mac1": {}}, {6: "10.0.0.255"}),
    form("an end of line that is no comment", STATIC.replace("/24", "/24 # mine") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {1: "mac1", 2: "no IPv4", 3: "# mine", 4: "mac1", 5: "mac1"}),
    form("no gateway", STATIC.replace(" gateway 10.0.0.1\n", "") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {1: "mac1", 2: "without a gateway", 3: "mac1", 4: "mac1"}),
    form("a table and a rule", STATIC + " up ip route add default via 10.0.0.1 dev mac1 table 105\n up ip rule add from 10.0.0.5 table 105\n down ip rule del from 10.0.0.5 table 105\n down ip route flush table 105\n", {"mac1": {"table": 105}}),
    form("the subnet in the table", STATIC + " post-up ip route add 10.0.0.0/24 dev mac1 src 10.0.0.5 table 105\n post-up ip rule add from 10.0.0.5/32 lookup 105\n", {"mac1": {"table": 105}}),
    form("a gateway in the table alone", STATIC.replace(" gateway 10.0.0.1\n", "") + " up ip route replace default via 10.0.0.1 dev $IFACE table 105 || true\n", {"mac1": {"gateway": "10.0.0.1", "table": 105}}),
    form("ifupdown's variables", STATIC + " up ip route add default via $IF_GATEWAY dev $IFACE table 105\n up ip rule add from $IF_ADDRESS table 105\n", {"mac1": {"table": 105}}, {7: "10.0.0.5/24"}),
    form("a priority", STATIC + " up ip rule add prio 100 from 10.0.0.5 lookup 105\n", {"mac1": {"table": 105}}, {6: "priority 100"}),
    form("a table by name", STATIC + " up ip rule add from 10.0.0.5 table isp\n", {"mac1": {"table": 77}}),
    form("a table of no number", STATIC + " up ip rule add from 10.0.0.5 table vrack\n", {"mac1": {"table": 1}}, {6: "write its number"}),
    form("the main table", STATIC + " up ip route add default via 10.0.0.1 table main\n", {"mac1": {"table": 1}}, {6: "the kernel's own"}),
    form("a rule from the subnet, and to it", STATIC + " up ip rule add from 10.0.0.0/24 table 105\n up ip rule add to 10.0.0.0/24 table 105\n", {"mac1": {"table": 105}}, {6: "mac1 has 10.0.0.5", 7: "from the address alone"}),
    form("a further route", STATIC + " up ip route add 172.16.0.0/12 via 10.0.0.9 table 105\n up ip route add 172.16.0.0/12 dev mac1\n", {"mac1": {"table": 1}}, {6: "default route and the subnet", 7: "main table"}),
    form("a metric, and route add", STATIC + " metric 100\n up route add default gw 10.0.0.1 dev mac1\n", {"mac1": {}}, {6: "no place", 7: "main table"}),
    form("IPv6 routes and rules", STATIC + " up ip -6 route add default via fe80::1 table 105\n", {"mac1": {"table": 1}}, {6: "ip -6"}),
    form("the table of two", STATIC + " up ip rule add from 10.0.0.5 table 105\n" + STATIC.replace("mac1", "mac2").replace("0.5/", "0.6/") + " up ip rule add from 10.0.0.6 table 105\n", {"mac1": {"table": 105}, "mac2": {"table": 2}}, {12: "table 105 is that of mac1"}),
    form("the address of two", STATIC + STATIC.replace("mac1", "mac2"), {"mac1": {}}, {6: "mac2", 7: "mac1 has 10.0.0.5 already", 8: "mac2", 9: "mac2", 10: "mac2"}),
    form("table 0", LEASED.replace("mac1", "macvlan0"), {"macvlan0": {"table": 1000}}),
    form("numbers of the kernel's tables", LEASED.replace("mac1", "v254"), {"v254": {"table": 1254}}),
    form("groups with the same numbers", LEASED + LEASED.replace("mac1", "van1"), {"mac1": {"table": 1}, "van1": {"table": 1001}}),
    form("a number beyond all tables", LEASED.replace("mac1", "m65535"), {"m65535": {"table": 1000}}),
    form("two stanzas", STATIC + "iface mac1 inet static\n address 10.0.0.6/24\n", {"mac1": {"ipv4": HERE}}, {7: "10.0.0.5/24 already"}),
    form("two addresses in a stanza", STATIC + " address 10.0.0.6/24\n up ip addr add 10.0.0.7/24 dev mac1\n", {"mac1": {"ipv4": HERE}}, {6: "already", 7: "already"}),
    form("commands about others", LEASED + " pre-up ip link set eth0 up\n up dhclient mac2\n up ip addr add 10.0.0.7/24 dev eth0\n up ip route add default via 10.0.0.1 dev eth0 table 5\n", {"mac1": {}}, dict.fromkeys((4, 5, 6), "stays with ifupdown")),
    form("an alias", STATIC.replace("auto mac1", "auto mac1 mac1:1") + "iface mac1:1 inet static\n address 10.0.0.6\n netmask 255.255.255.0\n", {"mac1": {"ipv4": HERE}}, {7: "10.0.0.5/24 already", 8: "that of 10.0.0.6"}),
    form("in the stanza of the loopback", "iface lo inet loopback\n up sudo -n ip link add link eth0 mac1 type macvlan\n up /opt/x\n" + LEASED.replace(LINK, ""), {"mac1": {}}),
    form("a NIC whose name neo does not take", "iface ä1 inet dhcp\n up ip rule add from 10.0.9.5 table 33\n" + LEASED, {"mac1": {}}),
    form("IPv6 beside", LEASED + "iface mac1 inet6 static\n address fd00::5/64\n gateway fd00::1\n autoconf 0\n", {"mac1": {}}, {4: "inet6", 5: "inet6", 6: "inet6", 7: "inet6"}),
    form("inherits, with the command", LEASED.replace("mac1 type", "$IFACE type") + "auto mac2\niface mac2 inet dhcp inherits mac1\n mtu 1400\n", {"mac1": {}, "mac2": {"mtu": "1400"}}),
    form("inherits from what is no interface", "iface all inet dhcp\n mtu 1400\n pre-up ip link add $IFACE link eth0 type macvlan\nauto mac1\niface mac1 inherits all\n mtu 1300\n", {"mac1": {"mtu": "1300"}}, {1: "no auto line", 2: "of its own"}),
    form("inherits what is not there", LEASED.replace("dhcp", "dhcp inherits base"), {"mac1": {}}, {2: "which is not there"}),
    form("inherits itself", LEASED.replace("dhcp", "dhcp inherits mac1"), {"mac1": {}}, {2: "in a circle"}),
    form("in the stanza of the NIC", "iface eth0 inet manual\n mtu 9000\n up ip link add link eth0 mac1 type macvlan\n up ip link set mac1 up\niface mac1 inet dhcp\n", {"mac1": {}}),
    form("wholly in the stanza of the NIC", "iface eth0 inet dhcp\n up ip link add mac1 link eth0 type macvlan && ip addr add 10.0.0.5/24 brd + dev mac1\n up ip route add default via 10.0.0.1 dev mac1 table 9\n up ip rule add from 10.0.0.5 table 9\n up iptables -A OUTPUT -o mac1 -j ACCEPT\n", {"mac1": {"ipv4": HERE, "table": 9}}, {5: "runs no commands"}),
    form("in a loop", "iface eth0 inet dhcp\n up for i in 7 8; do ip link add link eth0 mac7 type macvlan; done\n" + LEASED, {"mac1": {}}, {2: "loops"}),
    form("with a variable", LEASED.replace("eth0", "$NIC") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {3: "variable"}),
    form("manual, and its commands", STATIC.replace("static", "manual").replace(" address 10.0.0.5/24\n gateway 10.0.0.1\n", "") + " up ip addr add 10.0.0.5/24 dev mac1\n up ip route add default via 10.0.0.1 dev mac1 table 1\n", {"mac1": {"ipv4": HERE}}),
    form("ifconfig", LEASED.replace("dhcp", "manual") + " up ifconfig mac1 10.0.0.5 netmask 255.255.255.0 up\n up ip route add default via 10.0.0.1 table 1\n", {"mac1": {"ipv4": HERE}}),
    form("dhclient", LEASED.replace("dhcp", "manual") + " up dhclient -v mac1\n down dhclient -r mac1\n", {"mac1": {"ipv4": "dhcp"}}),
    form("udhcpc with options", LEASED.replace("dhcp", "manual") + " up udhcpc -i mac1 -s /etc/u.sh\n", {}, {1: "mac1", 2: "no IPv4", 3: "mac1", 4: "mac1"}),
    form("options of DHCP", LEASED + " hostname a\n client 01:02\n metric 5\n", {"mac1": {}}, {4: "no place", 5: "no place", 6: "no place"}),
    form("other programs' options", LEASED + " dns-search a\n wpa-ssid b\n pointopoint 10.0.0.9\n bridge_ports eth1\n", {"mac1": {}}, {4: "no place", 5: "no place", 6: "no place", 7: "no place"}),
    form("sysctl", LEASED + " pre-up sysctl -w net.ipv4.conf.all.arp_ignore=1\n up echo 1 > /proc/sys/net/ipv4/ip_forward\n", {"mac1": {}}, {4: "[sysctl]", 5: "[sysctl]"}),
    form("promiscuous", LEASED + " up ip link set mac1 promisc on\n", {"mac1": {}}, {4: "promisc on"}),
    form("into a namespace", LEASED + " up ip link set mac1 netns blue\n" + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {1: "mac1", 2: "given to a netns", 3: "mac1", 4: "netns"}),
    form("other kinds of links", LEASED + " pre-up ip link add link eth0 name ipv1 type ipvlan\n", {"mac1": {}}, {4: "no ipvlan"}),
    form("a macvlan on a macvlan", LEASED + LEASED.replace("mac1", "mac2").replace("eth0", "mac1"), {"mac1": {}}, {4: "mac2", 5: "is a macvlan itself", 6: "mac2"}),
    form("no number", LEASED.replace("mac1", "lan") + LEASED, {"mac1": {}}, {1: "lan", 2: "lan1 does", 3: "lan"}),
    form("a zero before", LEASED.replace("mac1", "mac01") + LEASED, {"mac1": {}}, {1: "mac01", 2: "mac1 does", 3: "mac01"}),
    form("a name too long", LEASED.replace("mac1", "macvlan-of-eth10") + LEASED, {"mac1": {}}, {1: "macvlan", 2: "16 bytes", 3: "macvlan"}),
    form("mappings and renames", "rename mac/x=mac1\nmapping eth0\n script /x\n map y\n" + LEASED, {"mac1": {}}, {1: "no place", 2: "no place", 3: "no place", 4: "no place"}),
    form("with others in an auto line", LEASED.replace("auto mac1", "auto eth0 mac1 macvlan9"), {"mac1": {}}, {1: "macvlan9"}),
    form("an open quote", LEASED + " up ip link set mac1 alias 'x\n", {"mac1": {}}, {4: "quote"}),
    form("joined lines", LEASED.replace("link eth0 name", "\\\n  link eth0 \\\n name"), {"mac1": {"parent": "eth0"}}),
    form("CRLF", LEASED.replace("\n", "\r\n"), {"mac1": {}}),
    form("tabs and other spaces", LEASED.replace(" ", "\t \t") + " up echo\u2028a\n", {"mac1": {}}, {4: "echo\\u2028a: neod runs no commands"}),
    form("ifupdown2", "auto mac1\niface mac1\n address 10.0.0.5/24\n address 10.0.0.6/24\n address fd00::5/64\n gateway 10.0.0.1\n" + LINK, {"mac1": {"ipv4": HERE}}, {4: "already", 5: "IPv4"}),
    form("ifupdown2 without a prefix", STATIC.replace(" inet static", "").replace("/24", "") + LEASED.replace("mac1", "mac2"), {"mac2": {}}, {1: "mac1", 2: "no IPv4", 3: "prefix length", 4: "mac1", 5: "mac1"}),
    form("link-type", "auto macvlan1\niface macvlan1\n link-type macvlan\n macvlan-mode private\n" + LEASED, {"mac1": {}}, {1: "macvlan1", 2: "stays", 3: "no place", 4: "no place"}),
    form("ifupdown-ng", "auto mac1\niface mac1\n use dhcp\n requires eth0\n" + LINK, {"mac1": {"ipv4": "dhcp"}}),
    form("ifupdown-ng inherits", "template lease\n use dhcp\nauto mac1\niface mac1 inet dhcp\n inherit lease\n" + LINK, {"mac1": {}}, {1: "no place", 2: "no place", 4: "which is not there"}),
    form("ifupdown-multi", "auto mac1\niface mac1 inet static\n address 10.0.0.5\n netmask 255.255.255.0\n multi_table 9\n multi_gateway 10.0.0.1\n multi_gateway_weight 2\n" + LINK, {"mac1": {"table": 9, "gateway": "10.0.0.1"}}, {7: "no place"}),
    form("a NIC with a table", LEASED + "iface eth0 inet static\n address 10.0.9.5/24\n up ip rule add from 10.0.9.5 table 33\n up ethtool -s eth0 wol d\n", {"mac1": {}}, {4: "stays with ifupdown", 5: "stays with ifupdown", 7: "no commands"}),
]  # fmt: skip
# ruff: noqa: E501


@pytest.mark.parametrize("written", FORMS)
def test_what_people_write_is_rendered_or_named_line_by_line(written: Form, tmp_path: Path) -> None:
    found = understood(written.text)
    left_out = {int(text.split(":")[1]): text.split(":", 2)[2] for text in found.left_out}
    assert left_out.keys() == written.left_out.keys(), found.left_out
    assert {number: written.left_out[number] in text for number, text in left_out.items()} == dict.fromkeys(
        left_out, True
    )
    assert {path.name for path in found.macvlans} == written.says.keys()
    meant = meaning(toml(found, "interfaces"), tmp_path) if found.macvlans else {}
    for name, says in written.says.items():
        assert {key: getattr(meant[name], key) for key in says} == says, name


def run(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Return what the command says of *file*."""
    status = main(["import", "ifupdown", str(file)])
    said = capsys.readouterr()
    assert "internal error" not in said.err
    return status, said.out, said.err


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "circle", "large", "nothing"])
def test_what_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "interfaces"
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "device":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case "circle":
            file.symlink_to(file)
        case "large":
            monkeypatch.setattr(import_, "MOST_BYTES", 50)
            file.write_text(LEASED)
    status, out, err = run(file, capsys)
    assert (status, out) == (78, "") and err.startswith(f"neodctl: {file}: ")


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ("source missing\n", "missing: there is no such file"),
        ("source nowhere/*.cfg\n", "nowhere/*.cfg: there is no such file"),
        ("source d/*\n", ""),
        ("source interfaces\n", "interfaces is being read already"),
        ("source pipe\n", "pipe: is not a regular file"),
        ("source-directory d\n", ""),
        ("source d\n", "d: Is a directory"),
        ("source /*/*/*/x\n", "such a pattern is not followed"),
        ("source $HOME/x\n", "such a pattern is not followed"),
        ("source a\0b\n", "such a pattern is not followed"),
        ("source all/*\n", "more than 3 files"),
    ],
)
def test_sources_that_are_not_read_are_named(
    sources: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "MOST_FILES", 3)
    monkeypatch.setattr(import_, "IPROUTE2", ())
    (tmp_path / "d").mkdir()
    (tmp_path / "all").mkdir()
    for name in "abcd":
        (tmp_path / "all" / name).write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "interfaces").write_text(sources + LEASED)
    status, out, _ = run(tmp_path / "interfaces", capsys)
    left_out = out.partition("# Left out")[2].splitlines()[1:]
    assert status == 0 and all(f"interfaces:1: {sources[:6]}" in line for line in left_out)
    assert why in left_out[-1] if why else not left_out


def test_sources_are_relative_to_the_file_that_has_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "interfaces").write_text("source d/first\n")
    (tmp_path / "d/first").write_text("source second\n")
    (tmp_path / "d/second").write_text(LEASED)
    assert run(tmp_path / "interfaces", capsys)[0] == 0


def test_names_of_tables_are_looked_up_beside_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "iproute2/rt_tables.d").mkdir(parents=True)
    (tmp_path / "iproute2/rt_tables").write_text("255 local\n# 7 eight\n105 eight\nx y\n")
    (tmp_path / "iproute2/rt_tables.d/more.conf").write_text("106 nine\n")
    file = tmp_path / "network/interfaces"
    file.write_text(STATIC + " up ip rule add from 10.0.0.5 table eight\n")
    assert meaning(run(file, capsys)[1], tmp_path)["mac1"].table == 105
    file.write_text(STATIC + " up ip rule add from 10.0.0.5 table nine\n")
    assert meaning(run(file, capsys)[1], tmp_path)["mac1"].table == 106


@pytest.mark.parametrize(
    "line",
    [
        " up ip link set mac1 alias \0\x1b[2J\u202e\n",
        " up \udcff\n",
        "\0\n",
        "\x85iface\n",
        " description \udce4\udcf6\n",
    ],
)
def test_bytes_that_are_no_text_are_shown_and_do_no_harm(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "interfaces"
    file.write_bytes((LEASED + line).encode("utf-8", "surrogateescape"))
    status, out, _ = run(file, capsys)
    assert status == 0 and "interfaces:4: " in out and "\0" not in out and "\x1b" not in out
    assert main(["import", "ifupdown", str(file), "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert reply.keys() == {"lines", "left_out"} and len(reply["left_out"]) == 1
    assert set(meaning("\n".join(reply["lines"]), tmp_path)) == {"mac1"}


def test_nothing_is_printed_that_the_reader_of_the_file_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neod.cli.ifupdown_toml.toml", lambda imported, source: "[macvlans.neo]\ncount = 0\n")
    monkeypatch.setenv("NEO_MACVLANS__NEO__COUNT", "2")
    (tmp_path / "interfaces").write_text(LEASED)
    status, out, err = run(tmp_path / "interfaces", capsys)
    assert (status, out) == (78, "") and "no valid neo.toml" in err and "neo.toml:2:" in err


@pytest.mark.parametrize(
    "line",
    [
        "'" * 10, '"a\\', "((((", "a;", "a|", "a&&", "$IFACE ", "if ", "! ", "{ ", "\\", "# ", "> ", "2>&1 ", "9", "ip link ",
        "ip route add ", "-", "a b=", "\t", "mac1 ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("word", ["up", "address", "auto", "iface mac1 inet dhcp", "source", "hwaddress"])
def test_a_line_of_a_megabyte_takes_no_time(word: str, line: str) -> None:
    began = time.process_time()
    understood(f"{LEASED} {word} {line * ((1 << 20) // len(line))}\n")
    understood(f"{LEASED} {word} {line * (60000 // len(line))}\n")
    assert time.process_time() - began < 2


RENDERED = (
    "mtu 1400", "hwaddress ether 02:00:00:00:00:01", "gateway 10.0.0.1", "broadcast 10.0.0.255", "up true", "up sleep 3",
    "up ip link set mac1 up", "pre-up modprobe macvlan", "down ip link del mac1", "up ip route add default via 10.0.0.1 table 9",
    "up ip rule add from 10.0.0.5 table 9", "down ip rule del from 10.0.0.5 table 9", "requires eth0",
    "pre-up ip link set mac1 address 02:00:00:00:00:01 || true", "up (ip link show mac1; true) && :",
)  # fmt: skip
FOREIGN = (
    "up /opt/x", "up /opt/x && true", "up true; /opt/x", "up ip link show mac1 || /opt/x", "up (true; (/opt/x))", "alias x",
    "up ip link set mac1 txqueuelen 9", "metric 5", "dns-nameservers 10.0.0.1", "up ip route add 10.9.0.0/16 dev mac1 table 9",
    "up ip rule add to 10.9.0.0/16 table 9", "up ip rule add from 10.0.0.9 table 9", "up ip rule add from 10.0.0.5 table 7",
    "up ip link set mac1 mtu 1400 && ip link set mac1 promisc on", "up while true; do true; done", "up 'x", "up echo macvlan",
    "gateway 10.0.0.9", "address 10.0.0.9/24", "up ip addr add 10.0.0.9/24 dev mac1", "up $X", "up if true; then /opt/x; fi",
    "up ip link add mac1 link eth7 type macvlan mode bridge", "down ip route flush table 8", "broadcast 10.0.0.9", "netmask 9",
)  # fmt: skip


@pytest.mark.slow
@given(
    st.permutations([*((line, True) for line in RENDERED), *((line, False) for line in FOREIGN)]), st.integers(0, 41)
)
def test_every_line_is_rendered_or_named(tmp_path_factory, lines, number) -> None:
    """Whatever stands beside them: lines that mean something for neo are not named, and all others are."""
    first = [(line, True) for line in ("gateway 10.0.0.1", "up ip rule add from 10.0.0.5 table 9")]
    given = [*first, *lines[:number]]
    start = "auto mac1\niface mac1 inet static\n address 10.0.0.5/24\n" + LINK
    found = understood(start + "".join(f" {line}\n" for line, _ in given))
    named = {int(text.split(":")[1]) for text in found.left_out}
    assert named == {at for at, (_, is_rendered) in enumerate(given, 5) if not is_rendered}
    meant = meaning(toml(found, "x"), tmp_path_factory.getbasetemp())["mac1"]
    assert (meant.parent, meant.mode, meant.ipv4, meant.gateway, meant.table) == ("eth0", "bridge", HERE, "10.0.0.1", 9)


@pytest.mark.slow
@given(
    st.lists(st.text(st.sampled_from("if!{}()[];&|<>'\"\\$`= \tmac1ethp-/.0\n"), max_size=30), max_size=9),
    st.booleans(),
)
def test_whatever_stands_there_each_line_with_macvlan_is_rendered_or_named(tmp_path_factory, texts, is_shell) -> None:
    text = LEASED + "".join(f" {'up ' * is_shell}{text} macvlan\n" for text in texts)
    found = understood(text)
    places = [
        line.place for line in parse(text, "interfaces", lambda *_: ()).lines if "macvlan" in f"{line.word}{line.rest}"
    ]
    assert set(places[1:]) <= {":".join(text.split(":")[:2]) for text in found.left_out}
    if found.macvlans:
        assert "mac1" in meaning(toml(found, "x"), tmp_path_factory.getbasetemp())


MEANINGS = st.builds(
    Meaning,
    parent=st.sampled_from(["ens3", "eth0"]),
    mode=st.sampled_from(["private", "vepa", "bridge"]),
    mac=st.sampled_from(["", "given"]),
    ipv4=st.sampled_from(["dhcp", "static"]),
    gateway=st.sampled_from(["10.8.0.1", "10.8.0.2"]),
    table=st.just(0),
    mtu=st.sampled_from(["", "1400"]),
)


@pytest.mark.slow
@given(st.dictionaries(st.tuples(st.sampled_from(["neo", "mv"]), st.integers(1, 120)), MEANINGS, min_size=1), st.data())
def test_whatever_was_written_means_the_same_in_neo(tmp_path_factory, wanted, data) -> None:
    """Random groups, in a random order of stanzas; tables by a hook's base for one group, none clashing."""
    numbers = [number for _, number in wanted]
    meant, stanzas = {}, []
    for (base, number), one in wanted.items():
        if numbers.count(number) > 1 and base == "mv":
            continue  # the hook would give both one table
        mac = f"02:00:00:00:{len(base):02x}:{number:02x}" if one.mac else ""
        static = one.ipv4 == "static"
        ipv4 = f"10.8.{len(base)}.{number}/16" if static else "dhcp"
        name = f"{base}{number}"
        meant[name] = Meaning(
            one.parent, one.mode, mac, ipv4, one.gateway if static else "", 100 + number, one.mtu
        )  # fmt: skip
        stanzas.append(_stanza(name, meant[name]))
    text = "".join(data.draw(st.permutations(stanzas)))
    hook = "T=$(echo $IFACE | tr -dc 0-9)\ntable=$((100 + T))\nip rule add from $A table $table\n"
    assert meaning(imported(text, hook), tmp_path_factory.getbasetemp()) == meant


def _stanza(name: str, one: Meaning) -> str:
    link = f"address {one.mac} " * bool(one.mac) + f"mtu {one.mtu} " * bool(one.mtu)
    address = f"    address {one.ipv4}\n    gateway {one.gateway}\n" if one.gateway else ""
    return (
        f"auto {name}\niface {name} inet {'static' if one.gateway else 'dhcp'}\n"
        f"    pre-up ip link add link {one.parent} {name} {link}type macvlan mode {one.mode}\n{address}"
    )
