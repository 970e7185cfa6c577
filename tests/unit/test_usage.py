"""A mistake on the command line of any program is one line with what is right, and the next step."""

import pytest

from neod.cli.main import main as neodctl
from neod.daemon.main import main as neod
from neod.race.main import main as neo_race

PROGRAMS = {"neod": neod, "neodctl": neodctl, "neo-race": neo_race}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runtime-dri", "x"], "--runtime-dri: no such option; did you mean --runtime-dir?"),
        (["--runtime-dir"], "--runtime-dir takes a value"),
        (["--version=3"], "--version: takes no value"),
        (["--\u202exyz\x1b"], "--\\u202exyz\\x1b: no such option"),
        (["--xyz\nneod:ready"], "--xyz: no such option"),
    ],
)
def test_a_mistake_is_said_in_the_same_words(name, words, said, capsys):
    with pytest.raises(SystemExit) as end:
        PROGRAMS[name](words)
    assert (end.value.code, capsys.readouterr()) == (2, ("", f"{name}: {said}\nTry: {name} --help\n"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("option", ["-h", "--help", "--version"])
def test_help_and_version_are_printed(name, option, capsys):
    try:
        status = PROGRAMS[name]([option])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert out.startswith(f"{name} " if option == "--version" else f"usage: {name} ")


def test_neod_takes_no_argument(capsys):
    with pytest.raises(SystemExit):
        neod(["/etc/neo/neo.toml"])
    assert capsys.readouterr().err.startswith("neod: /etc/neo/neo.toml is one argument too many\n")
