"""``[races.NAME]``: what may stand there, word for word what is said of what may not, and what it comes to."""

import subprocess
import sys

import pytest

from neod.config.__main__ import answer
from neod.config.load import load
from neod.model.errors import ConfigError
from neod.race.settings import HostPort, RaceSettings, Timeouts, decode

GOOD = 'listen = "127.0.0.1:4430"\nupstreams = ["198.51.100.10:443"]\n'


@pytest.fixture
def read(tmp_path):
    file = tmp_path / "neo.toml"

    def of(text):
        file.write_text(text)
        return load(file, {})

    return of


@pytest.fixture
def races(tmp_path):
    """What neo-race makes of a file: its own settings, decoded from the reader's answer."""
    file = tmp_path / "neo.toml"

    def of(text):
        file.write_text(text)
        verdict, found = answer(str(file), {}, "races")
        assert verdict == "ok", found
        return decode(found).races

    return of


@pytest.fixture
def refused(read):
    def of(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return [line.partition("neo.toml:")[2] for line in caught.value.problems]

    return of


def test_the_example_of_the_contract_is_read(races):
    text = """
[races.proxy]
listen    = "127.0.0.1:4430"
upstreams = ["198.51.100.10:443", "203.0.113.11:443", "203.0.113.12:443"]
sources   = "auto"
mptcp     = true
stagger   = "0ms"
timeout   = "5s"
"""
    upstreams = (HostPort("198.51.100.10", 443), HostPort("203.0.113.11", 443), HostPort("203.0.113.12", 443))
    assert races(text) == (RaceSettings("proxy", HostPort("127.0.0.1", 4430), upstreams, None, mptcp=True),)


def test_every_key_arrives(races):
    text = """
[races.r]
listen = "[::1]:1"
upstreams = ["Proxy.example:443", "[2001:DB8::1]:443"]
sources = ["10.0.0.1", "2001:db8:0::9"]
listen_mptcp = true
stagger = "250ms"
timeout = "1min"
dial = "first-byte"
max_attempts = 3
netns = "a"
listen_netns = "b"
first_byte_timeout = "0s"
idle_timeout = "1h"
keepalive = "0s"
user_timeout = "0s"
max_connections = 7
max_connections_per_client = 2
"""
    assert races(text) == (
        RaceSettings(
            name="r",
            listen=HostPort("::1", 1),
            upstreams=(HostPort("proxy.example", 443), HostPort("2001:db8::1", 443)),
            sources=("10.0.0.1", "2001:db8::9"),
            listen_mptcp=True,
            stagger_s=0.25,
            timeout_s=60.0,
            dial="first-byte",
            max_attempts=3,
            netns="a",
            listen_netns="b",
            timeouts=Timeouts(first_byte_s=0.0, idle_s=3600.0, keepalive_s=0.0, user_s=0.0),
            max_connections=7,
            max_connections_per_client=2,
        ),
    )


def test_ipv4_in_the_form_of_ipv6_is_ipv4(races):
    mapped = '[races.r]\nlisten = "[::ffff:127.0.0.1]:4430"\nupstreams = ["[::ffff:198.51.100.10]:443"]\n'
    assert races(mapped) == races(f"[races.r]\n{GOOD}")
    (race,) = races(mapped + 'sources = ["::ffff:10.0.0.1"]\n')
    assert race.sources == ("10.0.0.1",)


def test_the_defaults_of_the_file_are_those_of_the_settings(races):
    assert races(f"[races.r]\n{GOOD}") == (
        RaceSettings("r", HostPort("127.0.0.1", 4430), (HostPort("198.51.100.10", 443),)),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('listen = "127.0.0.1"', "'127.0.0.1' is not ADDRESS:PORT; write e.g. listen = \"127.0.0.1:4430\""),
        ('listen = "::1:80"', "'::1:80' is not ADDRESS:PORT; write e.g. listen = \"127.0.0.1:4430\""),
        ('listen = "here:80"', "'here' is not an IP address; write e.g. listen = \"127.0.0.1:4430\""),
        ('listen = "10.0.0.1:70000"', 'port 70000 is not between 0 and 65535; write e.g. listen = "127.0.0.1:4430"'),
        ("upstreams = []", "an empty list is not a list of upstreams"),
        ('upstreams = ["a:1", "a:1"]', "'a:1' stands there twice"),
        ('upstreams = ["2001:db8::1:443"]', 'write "[2001:db8::1:443]:443"'),
        ('upstreams = ["0.0.0.0:1"]', "nothing can be connected to 0.0.0.0; write the address of a host"),
        ('upstreams = ["1.2.3:1"]', "'1.2.3' is neither an IP address nor the name of a host"),
        ('upstreams = ["a b:1"]', "'a b' is neither an IP address nor the name of a host"),
        ('upstreams = ["a:0"]', "port 0 is not between 1 and 65535"),
        ('sources = "all"', '\'all\' is not "auto", "none" or a list of addresses'),
        ('sources = ["10.0.0.1/8"]', "'10.0.0.1/8' is not an IP address; write it without the prefix length"),
        ('sources = ["0.0.0.0"]', 'no connection can start from 0.0.0.0; write "none" to let the kernel choose'),
        ('mptcp = "yes"', "'yes' is not true or false; write e.g. mptcp = true"),
        ('stagger = "1ms"', "'1ms' is shorter than 0.01 s; write a longer time, or \"0s\" for none"),
        ('timeout = "0s"', "'0s' is not between 0.05 s and 300 s"),
        ('dial = "late"', "'late' is not accept or first-byte"),
        ("max_attempts = 0", "0 is not between 1 and 256"),
        ('netns = "../x"', "'../x' is not the name of a network namespace; name one that `ip netns` lists"),
        ('colour = "red"', "there is no such key"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(refused, line, said):
    key = line.partition(" ")[0]
    rest = "".join(good + "\n" for good in GOOD.splitlines() if not good.startswith(key))
    (problem,) = refused(f"[races.r]\n{line}\n{rest}")
    assert problem.startswith("2:")
    assert f"races.r.{key}" in problem
    assert said in problem


def test_what_is_required_is_missed(refused):
    assert [p.split("; ")[0].partition(": ")[2] for p in refused("[races.r]\n")] == [
        "races.r.listen: is required",
        "races.r.upstreams: is required",
    ]


@pytest.mark.parametrize("name", ["connect", "a b", "-x", '"ö"'])
def test_a_race_that_cannot_be_named_on_a_command_line_is_refused(refused, name):
    quoted = name if (name.isascii() and name.isalpha()) or name.startswith('"') else f'"{name}"'
    assert refused(f"[races.{quoted}]\n{GOOD}")


def test_two_races_at_one_door_are_refused(refused):
    (problem,) = refused(f"[races.a]\n{GOOD}[races.b]\n{GOOD}")
    assert "races.b would have the address and port 127.0.0.1:4430, which races.a (line 2) has" in problem


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [("127.0.0.1:80", "127.0.0.1:80"), ("0.0.0.0:80", "localhost:80"), ("[::]:80", "[::1]:80")],
)
def test_a_race_to_itself_is_refused(refused, listen, upstream):
    (problem,) = refused(f'[races.r]\nlisten = "{listen}"\nupstreams = ["192.0.2.1:1", "{upstream}"]\n')
    assert "is where the race itself listens" in problem
    assert "upstreams[2]" in problem


def test_an_upstream_that_no_source_can_reach_is_a_warning(read):
    upstreams = '["[2001:db8::1]:443", "[fd00::1]:1", "fd.example:1", "192.0.2.1:1"]'
    keys = f'listen = "127.0.0.1:1"\nupstreams = {upstreams}\nsources = ["10.0.0.1"]\n'
    first, second = read(f"[races.r]\n{keys}").warnings
    assert "no source has the address family of [2001:db8::1]:443" in first
    assert "[fd00::1]:1" in second


def test_reading_the_file_loads_nothing_of_neod_but_the_reader(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text(f'[races.r]\n{GOOD}[uplinks.eth0]\nipv4 = "follow"\ntable = 33\n')
    code = (
        "import sys; from neod.race.service import RaceService; from neod.race.settings import read_config;"
        "print(read_config(sys.argv[1]).paths, sorted(n for n in sys.modules if n.startswith('neod.')"
        " and n.split('.')[1] not in ('race', 'netlink', 'control', 'observability')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "('eth0',) ['neod.config', 'neod.config.reader', 'neod.model', 'neod.model.errors']\n", (
        done.stderr
    )
