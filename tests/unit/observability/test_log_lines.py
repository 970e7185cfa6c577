"""One line of the log, as the journal gets it."""

import json
from datetime import datetime

import structlog

from neod.observability.logs import configure, journal_line


def line(**fields: object) -> str:
    return journal_line(None, "", dict(fields))


def test_values_that_need_it_are_quoted():
    assert (
        line(level="warning", event="repaired", object="link:neo1", why="a b")
        == '<4>repaired object=link:neo1 why="a b"'
    )


def test_no_value_begins_a_line_of_its_own():
    told = line(level="info", event="seen", name="x\n<0>root logged in\x1b[2J")
    assert "\n" not in told
    assert "\x1b" not in told


def test_json_has_the_local_time_with_its_offset(capsys):
    configure("info", "json").info("seen")
    structlog.reset_defaults()
    written = json.loads(capsys.readouterr().err)
    assert datetime.fromisoformat(written["timestamp"]).utcoffset() == datetime.now().astimezone().utcoffset()
    assert (written["event"], written["level"]) == ("seen", "info")


def test_every_line_of_a_traceback_has_the_priority():
    assert line(level="error", event="bug", exception="a\nb").splitlines() == ["<3>bug", "<3>  a", "<3>  b"]
