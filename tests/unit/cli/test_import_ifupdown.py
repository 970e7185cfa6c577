"""``neodctl import ifupdown``: the printed file is valid and means what the interfaces file and its hooks meant."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neod.cli.ifupdown import logical_lines, parse
from neod.cli.ifupdown_commands import HookRule, commands, hook_rule, macvlan
from neod.cli.ifupdown_paths import understand
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


def imported(text: str, *hooks: str) -> str:
    """Return the neo.toml for an interfaces file without sources."""
    return toml(understand(parse(text, "interfaces", lambda word, what: ()), hook_rule(hooks)), "interfaces")


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
        "#   interfaces:19: up echo up        and away",
        "#   interfaces:21: dns-nameservers 10.8.0.53",
        "#   interfaces:22: iface neo2 inet6 auto",
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
    assert "3 belongs to a macvlan already" in text
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
    assert "Left out" not in text


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
    assert hook_rule([hook]) == rule


def test_commands_are_told_apart_and_open_quotes_are_no_commands() -> None:
    assert list(commands("a b && c 'd e'; ${IFACE} || f", "neo1")) == [["a", "b"], ["c", "d e"], ["neo1"], ["f"]]
    assert list(commands("echo 'open", "neo1")) == []
    assert (
        macvlan(["ip", "-4", "link", "add", "link", "ens3", "neo1", "type", "ipvlan", "mode", "l2", "macvlan"]) is None
    )


def test_a_backslash_at_the_very_end_loses_nothing() -> None:
    assert [(line.word, line.rest) for line in logical_lines("auto \\\n neo1\\", "f")] == [("auto", "neo1")]


def test_sources_that_go_in_a_circle_end() -> None:
    line = "source me\niface neo1 inet dhcp\n"
    found = parse(line, "me", lambda word, what: [("me", line)])
    assert {stanza.name for stanza in found.stanzas} == {"neo1"}


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
