"""Where programs of neo listen: no two at one place, none that gets nothing, none open to everybody without a word."""

import pytest

from neod.config.load import load
from neod.model.errors import ConfigError


def said(tmp_path, *listens, more=""):
    file = tmp_path / "neo.toml"
    races = [
        f'[races.r{number}]\nlisten = "{listen}"\nupstreams = ["198.51.100.10:443"]\n{netns}\n'
        for number, (listen, _, netns) in enumerate((*one.partition("|"),) for one in listens)
    ]
    file.write_text("\n".join([*races, more, "[daemon]\n"]))
    try:
        return "warned", load(file, {}).warnings
    except ConfigError as error:
        return "refused", error.problems


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0:4430", "127.0.0.1:4430"),
        ("192.0.2.5:4430", "0.0.0.0:4430"),
        ("[::]:4430", "[::1]:4430"),
        ("[::]:4430", "127.0.0.1:4430"),
        ("0.0.0.0:4430", "[::]:4430"),
        ("[::ffff:192.0.2.5]:4430", "192.0.2.5:4430"),
        ("[::ffff:0.0.0.0]:4430", "192.0.2.5:4430"),
        ("127.0.0.1:4430", "127.0.0.1:4430"),
        ('0.0.0.0:4430|listen_netns = "a"', '127.0.0.1:4430|listen_netns = "a"'),
    ],
)
def test_two_races_at_one_place_are_refused(tmp_path, one, other):
    for pair in ((one, other), (other, one)):
        verdict, lines = said(tmp_path, *pair)
        assert verdict == "refused"
        assert len(lines) == 1
        assert "races.r1.listen: " in lines[0]
        assert "r0" in lines[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:4430", "127.0.0.2:4430"),
        ("127.0.0.1:4430", "[::1]:4430"),
        ("127.0.0.1:4430", "127.0.0.1:4431"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ('127.0.0.1:4430|listen_netns = "a"', "127.0.0.1:4430"),
    ],
)
def test_others_are_not(tmp_path, one, other):
    assert said(tmp_path, one, other) == ("warned", ())


@pytest.mark.parametrize("metrics", ["127.0.0.1:4430", "127.0.0.1:4429", "0.0.0.0:4430", "0.0.0.0:4429"])
def test_the_pages_of_metrics_count_that_of_neo_race_at_the_next_port_too(tmp_path, metrics):
    verdict, lines = said(tmp_path, "127.0.0.1:4430", more=f'[metrics]\nlisten = "{metrics}"')
    assert verdict == "warned"
    (line,) = [line for line in lines if "no page of metrics" in line]
    assert "metrics.listen: races.r0 listens on 127.0.0.1:4430" in line
    verdict, lines = said(tmp_path, "127.0.0.1:4432", more=f'[metrics]\nlisten = "{metrics}"')
    assert verdict == "warned"
    assert not [line for line in lines if "no page of metrics" in line]


@pytest.mark.parametrize("listen", ["0.0.0.0:4430", "[::]:4430", "[::ffff:0.0.0.0]:4430"])
def test_what_is_open_to_everybody_is_said(tmp_path, listen):
    ((line,),) = (said(tmp_path, listen)[1],)
    assert "races.r0.listen: " in line
    assert "open to everybody" in line
    ((line,),) = (said(tmp_path, more='[metrics]\nlisten = "0.0.0.0:9110"')[1],)
    assert "metrics.listen: 0.0.0.0:9110 is open to everybody" in line


@pytest.mark.parametrize(
    ("more", "caught"),
    [
        ('[forwards.f]\nports = ["4000-5000"]\nto = "198.51.100.10"', True),
        ('[forwards.f]\nports = [4430]\ninterface = "eth0"\nto = "198.51.100.10"', True),
        ('[namespaces.p]\nuplink = "eth0"\nsubnet = "10.254.0.0/30"\nexpose = ["tcp/4430"]', True),
        ('[forwards.f]\nports = [4430]\nprotocol = "udp"\nto = "198.51.100.10"', False),
        ('[forwards.f]\nports = [4431]\nto = "198.51.100.10"', False),
        ('[forwards.f]\nports = [4430]\nto = "2001:db8::10"', False),
    ],
)
def test_a_race_whose_connections_go_elsewhere_is_warned_of(tmp_path, more, caught):
    lines = said(tmp_path, "192.0.2.5:4430", more=more)[1]
    assert len(lines) == caught
    assert not caught or "races.r0.listen: connections to port 4430 that come in" in lines[0]
    assert said(tmp_path, "127.0.0.1:4430", more=more) == ("warned", ())


@pytest.mark.parametrize(
    ("listen", "upstream", "itself"),
    [
        ("127.0.0.1:4430", "[::ffff:127.0.0.1]:4430", True),
        ("0.0.0.0:4430", "127.0.0.9:4430", True),
        ("[::]:4430", "127.0.0.1:4430", True),
        ("[::]:4430", "[::1]:4430", True),
        ("127.0.0.1:4430", "localhost:4430", True),
        ("127.0.0.1:4430", "127.0.0.2:4430", False),
        ("0.0.0.0:4430", "198.51.100.10:4430", False),
    ],
)
def test_a_race_does_not_connect_to_itself(tmp_path, listen, upstream, itself):
    file = tmp_path / "neo.toml"
    file.write_text(f'[races.r]\nlisten = "{listen}"\nupstreams = ["{upstream}"]\n')
    try:
        load(file, {})
    except ConfigError as error:
        assert itself
        assert "is where the race itself listens" in error.problems[0]
    else:
        assert not itself
