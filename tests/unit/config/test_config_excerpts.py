"""Below each error stands the line of the file, and a caret where the fault is."""

import subprocess
import sys

import pytest

from neod.config.load import load
from neod.config.reader import collect, spawn
from neod.features.validation.excerpt import COLUMNS, excerpt, width
from neod.model.errors import ConfigError


def lines_of(file, environ=None):
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {})
    return [line.replace(f"{file}:", "") for line in caught.value.lines]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "neo.toml"


CASES = {
    "a value": (b"[uplinks.ens3]\ntable = 0\n", "table = 0", "        ^"),
    "a key": (b"[daemon]\n  foo = 1\n", "  foo = 1", "  ^"),
    "an element": (b'[uplinks.a]\ntable = 1\nmptcp = ["signal", "x"]\n', 'mptcp = ["signal", "x"]', " " * 19 + "^"),
    "after a tab": (b"[uplinks.ens3]\n\ttable\t= 0\n", " table = 0", "         ^"),
    "after wide characters": ('[sysctl]\n"日本" = 1\n'.encode(), '"日本" = 1', " " * 9 + "^"),
    "line ends of Windows": (b"[uplinks.ens3]\r\ntable = 0\r\n", "table = 0", "        ^"),
    "no TOML": (b"[daemon]\nresync = keep\n", "resync = keep", "         ^"),
    "at the end": (b"[daemon]\nresync = [", "resync = [", "          ^"),
    "no UTF-8": (b'[daemon]\nlog_level = "\xc3\xa4\xe4"\n', 'log_level = "ä\ufffd"', " " * 14 + "^"),
    "too deep": (b"a = [[[[[[[[[1]]]]]]]]]\n", "a = [[[[[[[[[1]]]]]]]]]", " " * 12 + "^"),
    "a control character": (b'[daemon]\n"a\\u001b" = 1\n', '"a\\u001b" = 1', "^"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_stands_below_with_a_caret_at_the_place(file, case):
    content, line, caret = CASES[case]
    file.write_bytes(content)
    problem, shown, below = lines_of(file)[:3]
    assert shown == f"{problem.split(':')[0]:>5} | {line}"
    assert below == f"      | {caret}"


def test_each_error_has_its_own_line(file):
    file.write_text("[uplinks.a]\ntable = 0\n[uplinks.b]\ntable = 254\n")
    assert [line for line in lines_of(file) if "|" in line and "^" not in line] == [
        "    2 | table = 0",
        "    4 | table = 254",
    ]


def test_what_no_line_says_has_none(file):
    file.write_text("[daemon]\n")
    (line,) = lines_of(file, {"NEO_DAEMON__LOG_LEVEL": "loud"})
    assert line.startswith("NEO_DAEMON__LOG_LEVEL: ")


@pytest.mark.parametrize("sign", ["x", "日", "\t", "e\u0301", "\x1b", "\u202e"])
@pytest.mark.parametrize("column", [1, 5, 60, 400, 1000])
def test_a_long_line_is_cut_around_the_caret_and_steers_no_terminal(sign, column):
    shown, below = excerpt(sign * 500, 7, column).split("\n")
    assert shown.isprintable() or "\u0301" in shown
    assert width(shown) <= COLUMNS + 8
    assert width(below) <= COLUMNS + 9
    assert below.endswith("^")


def test_the_child_that_reads_the_file_hands_on_what_it_shows(file):
    file.write_text("[uplinks.ens3]\ntable = 0\n")
    with pytest.raises(ConfigError) as caught:
        collect(spawn(str(file)))
    assert caught.value.lines[1:] == ("    2 | table = 0", "      |         ^")


@pytest.mark.parametrize("command", [["neod.cli.main", "validate"], ["neod.race.main", "--config"]], ids=lambda c: c[0])
def test_programs_show_it(file, command):
    file.write_text("[uplinks.ens3]\ntable = 0\n")
    run = "import sys; from importlib import import_module; sys.exit(import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
    argv = [sys.executable, "-c", run, *command, str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "    2 | table = 0\n      |         ^\n" in done.stdout + done.stderr
