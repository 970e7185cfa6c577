"""Every error of the file, word for word: where, which key, what is wrong, what would be right."""

import os
import re
from pathlib import Path

import pytest

from neod.config.load import load
from neod.config.root import TABLES
from neod.model.errors import ConfigError

GOLDEN = Path(__file__).with_name("errors.txt").read_text(encoding="utf-8")
CASES = re.findall(r"^=== (.*?)\n(.*?)\n--- is refused:\n(.*?)\n$", GOLDEN, re.DOTALL | re.MULTILINE)
NOTHING = "to remove all that neod made, write the table [daemon]"


def problems(path, environ=None):
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return [line.replace(f"{path.parent}/", "") for line in caught.value.problems]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "neo.toml"


@pytest.mark.parametrize(("text", "lines"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_error_names_place_and_key_and_what_would_be_right(file, text, lines):
    file.write_text(text.replace("␛", "\x1b") + "\n", encoding="utf-8")
    assert problems(file) == lines.split("\n")


def test_the_table_of_errors_was_read():
    assert len(CASES) > 80


@pytest.mark.parametrize(("_name", "text", "lines"), CASES)
def test_an_error_is_one_printable_line_with_what_would_be_right(_name, text, lines):
    for line in lines.split("\n"):
        assert line.isprintable()
        assert re.fullmatch(r"neo\.toml:\d+:\d+: .+; .+|.*did you mean \S+\?", line)


@pytest.mark.parametrize("text", ["", "\n \n", "# [daemon]\n"], ids=["empty", "white", "only comments"])
def test_a_file_that_says_nothing_never_means_that_nothing_is_desired(file, text):
    file.write_text(text)
    (line,) = problems(file)
    assert line.endswith(NOTHING)


def test_a_table_like_no_other_is_told_which_there_are(file):
    file.write_text("[zzz]\n")
    names = ", ".join(sorted(TABLES))
    assert problems(file) == [f"neo.toml:1:2: zzz: there is no such table; known here: {names}"]


def test_a_missing_file_is_an_error(file):
    assert problems(file) == ["neo.toml: does not exist; write it, or name another file"]


def test_a_directory_is_an_error(file):
    file.mkdir()
    assert problems(file) == ["neo.toml: is not a regular file; name another"]


def test_a_fifo_is_an_error_and_nobody_waits_for_it(file):
    os.mkfifo(file)
    assert problems(file) == ["neo.toml: is not a regular file; name another"]


def test_a_file_that_cannot_be_opened_is_an_error(file):
    file.symlink_to(file)
    (line,) = problems(file)
    assert line.startswith("neo.toml: cannot be read: ELOOP: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error(file):
    file.write_text("[daemon]\n")
    file.chmod(0)
    (line,) = problems(file)
    assert line.startswith("neo.toml: cannot be read: permission denied; ")


def test_a_path_with_a_nul_is_an_error(tmp_path):
    (line,) = problems(tmp_path / "a\0b")
    assert line == "a\\x00b: is not a path; name another file"


def test_a_huge_file_is_an_error(file):
    file.write_text("[daemon]\n" + "#" * (1 << 20))
    assert problems(file) == ["neo.toml: is larger than 1 MiB; a file for neo is far smaller"]


def test_what_is_not_utf_8_is_named_with_its_place(file):
    file.write_bytes(b'[daemon]\nlog_level = "\xc3\xa4\xe4"\n')
    assert problems(file) == ["neo.toml:2:15: byte 0xe4 is not UTF-8; save the file as UTF-8"]


def test_a_byte_order_mark_is_named(file):
    file.write_bytes(b"\xef\xbb\xbf[daemon]\n")
    assert problems(file) == ["neo.toml:1:1: begins with a byte order mark; save the file as UTF-8 without one"]


def test_a_number_too_long_to_convert_is_an_error(file):
    file.write_text("[uplinks.a]\ntable = " + "9" * 5000 + "\n")
    assert problems(file) == ["neo.toml:2:9: a value of more than 100 characters; texts stand in quotes"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [300, 40_000])
def test_of_very_many_errors_the_first_are_told_and_the_rest_counted(file, count):
    file.write_text("[daemon]\n" + "".join(f"key{number} = 1\n" for number in range(count)))
    lines = problems(file)
    assert len(lines) == 201
    assert lines[0].startswith("neo.toml:2:1: daemon.key0: there is no such key; ")
    assert re.fullmatch(r"and \d+ more", lines[-1])


def test_errors_of_different_tables_come_at_once_in_the_order_of_the_file(file):
    file.write_text(
        "[uplinks.a]\ntable = 7\n[daemon]\nresync = 1\n[uplinks.b]\ntable = 7\n"
        '[macvlans.m]\nparent = "e"\ncount = "x"\n'
    )
    assert [line.split(": ")[0] for line in problems(file)] == ["neo.toml:4:10", "neo.toml:6:9", "neo.toml:9:9"]


def test_the_value_of_an_unknown_key_is_not_repeated(file):
    file.write_text('[daemon]\npassword = "hunter2"\n')
    assert "hunter2" not in "".join(problems(file))


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"NEO_DAEMON__LOG_LEVEL": "loud"},
            "NEO_DAEMON__LOG_LEVEL: daemon.log_level: 'loud' is not debug, info, warning or error; "
            'write e.g. log_level = "info"',
        ),
        (
            {"NEO_MACVLANS__NEO__COUNT": "many"},
            "NEO_MACVLANS__NEO__COUNT: macvlans.neo.count: 'many' is not a whole number; write e.g. count = 8",
        ),
        (
            {"NEO_MACVLANS__NEO__MPTCP": "[subflow"},
            "NEO_MACVLANS__NEO__MPTCP: macvlans.neo.mptcp: '[subflow' is not a list in brackets; "
            'write e.g. mptcp = ["subflow"]',
        ),
        (
            {"NEO_MACVLANS__NEO__MPTCP": '["subfow"]'},
            "NEO_MACVLANS__NEO__MPTCP: macvlans.neo.mptcp[1]: 'subfow' is not subflow, signal, backup or fullmesh; "
            "did you mean subflow?",
        ),
        (
            {"NEO_UPLINKS__ENS9__IPV4": "dhcp"},
            "NEO_UPLINKS__ENS9__IPV4: uplinks.ens9.table: is required; write e.g. table = 33",
        ),
        (
            {"NEO_DEAMON__LOG_LEVEL": "debug"},
            "NEO_DEAMON__LOG_LEVEL: deamon.log_level: there is no such table; did you mean daemon?",
        ),
        (
            {"NEO_DAEMON__LOGLEVEL": "debug"},
            "NEO_DAEMON__LOGLEVEL: daemon.loglevel: there is no such key; did you mean log_level?",
        ),
        (
            {"NEO_DAEMON": "\x1b]0;x\x07"},
            "NEO_DAEMON: daemon: '\\x1b]0;x\\x07' is not a table; write e.g. [daemon] and its keys below",
        ),
    ],
)
def test_an_error_in_a_variable_names_the_variable(file, environ, line):
    file.write_text('[macvlans.neo]\nparent = "ens3"\ncount = 3\n[daemon]\n')
    assert problems(file, environ) == [line]
