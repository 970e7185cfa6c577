"""What 0.1.0 took is taken, and means the same: the release itself is the judge.

What is written otherwise now is a warning that says how. What 0.1.0 took and what never worked may be an error: here
are all of that kind, with why.
"""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from neod.config.load import load
from neod.config.root import Closed, root
from neod.config.spelling import respelled
from neod.features.validation.context import Context, Positions
from neod.model.errors import ConfigError

RELEASE = Path(__file__).parents[2] / "system" / "release" / "neod-0.1.0.tar.xz"
OLD = """
import json, sys, tempfile, tomllib
from pathlib import Path
from neod.config.load import load
from neod.config.root import Closed, root
from neod.model.errors import ConfigError

def plain(value):
    return [plain(one) for one in value] if type(value) in (tuple, list) else str(value).replace("%1", "")

file, answers = Path(tempfile.mkdtemp()) / "neo.toml", []
for text, path in json.load(sys.stdin):
    file.write_text(text, encoding="utf-8", newline="")
    try:
        load(file, {})
    except ConfigError as error:
        answers.append(["refused", list(error.problems)])
        continue
    found = root(Closed).model_validate(tomllib.loads(text))
    for key in path:
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    answers.append(["taken", plain(found)])
json.dump(answers, sys.stdout)
"""

TABLES = {
    "uplinks": '[uplinks.x]\ntable = 33\nipv4 = "10.8.0.5/16"\ngateway = "10.8.0.4"\n',
    "macvlans": '[macvlans.x]\nparent = "ens3"\nipv4 = ["10.8.0.5/16"]\ngateway = "10.8.0.4"\ncount = 1\n',
    "leased": '[macvlans.x]\nparent = "ens3"\ncount = 1\n',
    "forwards": '[forwards.x]\nports = [443]\nto = "198.51.100.10"\n',
    "namespaces": '[namespaces.x]\nuplink = "eth0"\nsubnet = "10.254.0.0/30"\nrelay_addresses = ["203.0.113.1"]\n',
    "races": '[races.x]\nlisten = "127.0.0.1:4430"\nupstreams = ["198.51.100.1:443"]\n',
    "mptcp": '[uplinks.ens3]\ntable = 33\n[mptcp]\npath_manager = "neod"\n',
    "daemon": "[daemon]\n",
    "metrics": '[metrics]\nlisten = "127.0.0.1:9110"\n',
}
BLANKS = ("{}", "\\n{}", "{}\\n", "\\t{}", " {} ", "\\u00a0{}")
LENGTHS = {
    "address": [
        "10.8.0.5/16",
        "10.8.0.5/255.255.0.0",
        "10.8.0.5/0.0.255.255",
        "10.8.0.5/016",
        "10.8.0.5/255.255.255.255",
    ],
    "network": [
        "10.9.0.0/30",
        "10.9.0.0/255.255.255.252",
        "10.9.0.0/0.0.0.3",
        "10.9.0.0/030",
        "fd00::/0126",
        "fd00::%1/126",
    ],
}
BOOLS = ["true", "false", "0", "1", "1.0", "0.0", "2", '""', '" yes"', "[1]"]
BOOLS += [f'"{one}"' for one in ("true", "True", "yes", "YES", "no", "on", "off", "t", "y", "f", "n", "0", "1")]


def quoted(values):
    return [f'"{value}"' for value in values]


def listed(values):
    return [f'["{value}"]' for value in values]


def blank(*values):
    return [shape.format(value) for value in values for shape in BLANKS]


VALUES = [
    *(("uplinks", "ipv4", one) for one in quoted(LENGTHS["address"])),
    *(("macvlans", "ipv4", one) for one in quoted(LENGTHS["address"]) + listed(LENGTHS["address"])),
    *(("uplinks", "gateway", one) for one in quoted(blank("10.8.0.4"))),
    *(("namespaces", "subnet", one) for one in quoted(LENGTHS["network"]) + listed(LENGTHS["network"])),
    *(("namespaces", "relay_snat", one) for one in quoted(LENGTHS["network"]) + listed(LENGTHS["network"])),
    *(
        ("mptcp", "exclude", one)
        for one in listed([*LENGTHS["network"], "192.0.2.1", "fd00::%1", "::/0", "10.0.0.1/8"])
    ),
    *(("mptcp", "scheduler", one) for one in quoted(["default", "bpf_x", "_x", "-x", "-", "x" * 15, "x" * 16])),
    *(("daemon", "resync", one) for one in quoted([*blank("60s", "1min 30s"), "1min\\t30s", "60\\ts", "90", "6\\t0s"])),
    *(
        ("races", key, one)
        for key in ("stagger", "timeout", "first_byte_timeout", "idle_timeout", "keepalive", "user_timeout")
        for one in quoted(blank("4s"))
    ),
    *(
        ("forwards", "ports", one)
        for one in quoted(blank("443")) + listed([*blank("443", "8000-8010"), "8000-\\t8010"])
    ),
    *(("forwards", "ports", one) for one in ["443", "[443]", '"0443"', '["443", "443"]', "443.0", "true", "[]"]),
    *(("namespaces", "expose", one) for one in listed([f"tcp/{port}" for port in blank("443", "1-5")] + [" tcp/443"])),
    *(("forwards", "hairpin", one) for one in BOOLS),
    *(("namespaces", "masquerade", one) for one in BOOLS),
    *(("races", "mptcp", one) for one in BOOLS),
    *(("forwards", "interface", one) for one in quoted(["", "eth0", "eth0.100"])),
    *(("leased", "ids", one) for one in quoted([*blank("1", "1-2", "1,2"), "1,\\n2", "01", "1 - 2"])),
    *(("leased", "mac", one) for one in quoted([*blank("02:00:00:00:00:0A"), "auto", "AUTO", "02-00-00-00-00-01"])),
    *(
        ("races", "listen", one)
        for one in quoted(["0.0.0.0:1", "[::]:1", "127.0.0.1:0", "[::1]:00080", *blank("[::1]:1")])
    ),
    *(("races", "sources", one) for one in ['"auto"', '"none"', "[]", '["10.0.0.1"]', '["fe80::1%eth0"]']),
    *(("metrics", "listen", one) for one in quoted(["127.0.0.1:0", "[::1]:00080", *blank("[::1]:1")])),
]

RELAY = '[namespaces.p]\nuplink = "eth0"\nsubnet = "{}"\nrelay_addresses = ["203.0.113.11"]\nrelay_snat = "{}"\n'
HOST = '[uplinks.ens3]\ntable = 33\nipv4 = "{}"\ngateway = "{}"\n'
RACE = '[races.{}]\nlisten = "{}"\nupstreams = {}\n'
FAR = '["198.51.100.1:443"]'
WHOLE = {
    "metrics at a race's port": '[metrics]\nlisten = "127.0.0.1:9110"\n' + RACE.format("r", "127.0.0.1:9110", FAR),
    "neo-race's page at a race's": '[metrics]\nlisten = "127.0.0.1:9110"\n' + RACE.format("r", "0.0.0.0:9111", FAR),
    "the last port": '[metrics]\nlisten = "127.0.0.1:65535"\n' + RACE.format("r", "127.0.0.1:4430", FAR),
    "one of two is itself": RACE.format("r", "0.0.0.0:443", '["127.0.0.9:443", "198.51.100.1:443"]'),
    "mapped twice": RACE.format("r", "127.0.0.1:1", '["1.2.3.4:443", "[::ffff:1.2.3.4]:443"]'),
    "mapped source": RACE.format("r", "127.0.0.1:1", FAR) + 'sources = ["1.2.3.4", "::ffff:1.2.3.4"]\n',
    "a relay is this host": HOST.format("203.0.113.11/24", "203.0.113.1")
    + RELAY.format("10.254.0.0/30", "10.1.0.0/24"),
    "host in subnet": HOST.format("10.8.0.5/16", "10.8.0.1") + RELAY.format("10.0.0.0/8", "192.168.0.0/24"),
    "host in relay_snat": HOST.format("10.8.0.5/16", "10.8.0.1") + RELAY.format("192.168.0.0/30", "10.0.0.0/8"),
    "a sysctl twice": RELAY.format("10.254.0.0/30", "10.1.0.0/24")
    + 'sysctl = { "net.ipv4.ip_forward" = 1, "net/ipv4/ip_forward" = true }\n',
    "one hairpin by two": "".join(
        f'[forwards.{nic}]\ninterface = "{nic}"\nports = [443]\nto = "198.51.100.10"\nhairpin = true\n' for nic in "ab"
    ),
}

WITHOUT_A_WORD = ("the last port", "one hairpin by two")
TAKEN_NOW = (("leased", "mac", "AUTO"),)

NEVER_WORKED = {
    "a socket that the kernel refuses": RACE.format("a", "0.0.0.0:9", FAR) + RACE.format("b", "127.0.0.1:9", FAR),
    "none but itself": RACE.format("r", "0.0.0.0:443", '["127.0.0.9:443"]'),
    "a relay as this host": HOST.format("10.1.0.1/24", "10.1.0.9") + RELAY.format("10.254.0.0/30", "10.1.0.0/24"),
    "a namespace without a way out": '[namespaces.x]\nuplink = "eth0"\nsubnet = []\n',
    "two targets of one hairpin": "".join(
        f'[forwards.{nic}]\ninterface = "{nic}"\nports = [443]\nto = "198.51.100.1{nic == "a":d}"\nhairpin = true\n'
        for nic in "ab"
    ),
    **{
        f"an interface {name}": TABLES["forwards"] + f'interface = "{name}"\n'
        for name in ("eth0/1", "eth0 ", 'a\\"b', "x" * 16, "all", "lo", "eth*")
    },
}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    directory = tmp_path_factory.mktemp("release")
    with tarfile.open(RELEASE) as archive:
        archive.extractall(directory, filter="data")

    def judge(cases):
        run = subprocess.run(
            [sys.executable, "-B", "-c", OLD],
            input=json.dumps(cases),
            env={"PYTHONPATH": str(directory / "neod-0.1.0" / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return judge


@pytest.fixture
def now(tmp_path):
    def judge(text):
        file = tmp_path / "neo.toml"
        file.write_text(text, encoding="utf-8", newline="")
        try:
            return "taken", load(file, {}).warnings
        except ConfigError as error:
            return "refused", error.problems

    return judge


def meaning(text, path):
    """Return what this version takes the value at *path* for."""
    data, context = tomllib.loads(text), Context("neo.toml", Positions(), {})
    for _ in range(3):
        try:
            found = root(Closed).model_validate(data)
            break
        except ValidationError as error:
            data = respelled(error.errors(include_url=False), data, context)
    for key in path:
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    return plain(found)


def plain(value):
    return [plain(one) for one in value] if type(value) in (tuple, list) else str(value).replace("%1", "")


def case(table, key, value):
    """Return a file in which *key* has *value*, and where that is."""
    text = TABLES[table].replace("count = 1\n", "") if key == "ids" else TABLES[table]
    line, pattern = f"{key} = {value}\n", re.compile(rf"^{key} = .*\n", re.MULTILINE)
    named = text.partition("]")[0].rpartition("[")[2]
    path = (table, key) if "." not in named or table == "mptcp" else (*named.split("."), key)
    return pattern.sub(lambda _: line, text) if pattern.search(text) else text + line, path


def test_every_value_that_the_release_took_is_taken_and_means_the_same(release, now):
    cases = [case(*one) for one in VALUES]
    taken = 0
    for one, (text, path), (verdict, value) in zip(VALUES, cases, release(cases), strict=True):
        here, lines = now(text)
        if verdict == "taken":
            taken += 1
            assert here == "taken", (one, lines)
            assert meaning(text, path) == value, one
        elif one not in TAKEN_NOW:
            assert here == "refused", one
    assert taken > 150


@pytest.mark.parametrize("name", WHOLE)
def test_every_file_that_the_release_took_is_taken(release, now, name):
    assert release([(WHOLE[name], [])])[0][0] == "taken"
    assert now(WHOLE[name])[0] == "taken"
    said = [line for line in now(WHOLE[name])[1] if "open to everybody" not in line]
    assert len(said) == (name not in WITHOUT_A_WORD)


@pytest.mark.parametrize("name", NEVER_WORKED)
def test_what_it_took_and_never_worked_is_an_error(release, now, name):
    assert release([(NEVER_WORKED[name], [])])[0][0] == "taken"
    assert now(NEVER_WORKED[name])[0] == "refused"


@pytest.mark.parametrize(
    ("old", "line"),
    [
        (
            ("uplinks", "ipv4", '"10.8.0.5/255.255.0.0"'),
            "uplinks.x.ipv4: '10.8.0.5/255.255.0.0' is not an address in CIDR form; "
            'write "10.8.0.5/16" (taken as 0.1.0 took it)',
        ),
        (
            ("macvlans", "ipv4", '["10.8.0.5/0.0.255.255"]'),
            "macvlans.x.ipv4[1]: '10.8.0.5/0.0.255.255' is not an address in CIDR form; write \"10.8.0.5/16\"",
        ),
        (("daemon", "resync", '"\\n60s"'), "daemon.resync: '\\n60s' has white space that is no space; write \"60s\""),
        (("forwards", "ports", '["443\\t"]'), "forwards.x.ports[1]: '443\\t' has white space"),
        (("forwards", "ports", '"443\\t"'), "forwards.x.ports: '443\\t' has white space"),
        (("forwards", "hairpin", '"yes"'), "forwards.x.hairpin: 'yes' is not true or false; write true"),
        (("namespaces", "masquerade", "0"), "namespaces.x.masquerade: 0 is not true or false; write false"),
        (("forwards", "interface", '""'), "forwards.x.interface: an empty text names no interface; leave it out"),
    ],
)
def test_another_spelling_is_a_warning_that_says_the_right_one(now, old, line):
    assert [said for said in now(case(*old)[0])[1] if line in said]


def test_of_old_and_wrong_ones_every_error_is_reported(now):
    text = '[macvlans.x]\nparent = "ens3"\ncount = 2\nmtu = 1\ngateway = "10.8.0.1"\n'
    verdict, lines = now(text + 'ipv4 = ["10.8.0.5/255.255.0.0", "10.8.0.0/255.255.0.0"]\n')
    assert verdict == "refused"
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["macvlans.x.mtu", "macvlans.x.ipv4[2]"]


def test_many_old_spellings_are_all_taken(now):
    addresses = ", ".join(f'"10.8.{n >> 8}.{n & 255}/255.255.0.0"' for n in range(10, 3510))
    text = (
        f'[macvlans.x]\nparent = "ens3"\ncount = 3500\ntable_base = 1000\ngateway = "10.8.0.1"\nipv4 = [{addresses}]\n'
    )
    verdict, lines = now(text)
    assert verdict == "taken"
    assert "more" in lines[-1]


def test_an_old_spelling_in_the_environment_is_taken(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text(TABLES["forwards"])
    intents = load(file, {"NEO_FORWARDS__X__HAIRPIN": "t", "NEO_FORWARDS__X__PORTS": '["443\\n"]'})
    assert [line.partition(":")[0] for line in intents.warnings] == ["NEO_FORWARDS__X__PORTS"]


@pytest.mark.parametrize(
    "sources",
    [["::ffff:1.2.3.4"] * 2, ["1.2.3.4"] * 2, ["1.2.3.4", "1.2.3.4", "::ffff:1.2.3.4"]],
    ids=["mapped", "plain", "plain, and mapped"],
)
def test_what_the_release_refused_twice_is_refused(release, now, sources):
    text = RACE.format("r", "127.0.0.1:1", FAR) + f"sources = {json.dumps(sources)}\n"
    assert release([(text, [])])[0][0] == "refused"
    verdict, (line,) = now(text)
    assert verdict == "refused"
    assert "'1.2.3.4' stands there twice" in line
