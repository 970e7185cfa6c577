"""Every page as an 80-column terminal shows it, and what no page ever shows."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType

import pytest
from tests.unit.cli import cli_samples as samples

from neod.cli import render, render_facts, render_plan
from neod.cli.exits import DIFFERS, of_status
from neod.cli.text import Screen, page, screen_of
from neod.control.codec import decode, encode
from neod.control.verbs.events import EventsReply
from neod.control.verbs.mode import ModeReply, WaitReply
from neod.control.verbs.plan import ConfirmReply, ReloadReply

GOLDEN = Path(__file__).parent / "golden"
EIGHTY = Screen(80)

PAGES = {
    "status-converged": (render.status, samples.CONVERGED),
    "status-drifting": (render.status, samples.DRIFTING),
    "status-paused": (render.status, samples.PAUSED),
    "status-of-an-object": (render.status, samples.OF_OBJECT),
    "plan": (render_plan.plan, samples.PLAN),
    "plan-empty": (render_plan.plan, samples.NO_PLAN),
    "diff": (render_plan.diff, samples.PLAN),
    "diff-empty": (render_plan.diff, samples.NO_PLAN),
    "reload-confirm": (render_plan.reload, samples.RELOAD),
    "apply": (render_plan.apply, samples.APPLY),
    "show-desired": (render_facts.show, samples.DESIRED),
    "show-observed": (render_facts.show, samples.OBSERVED),
    "leases": (render_facts.leases, samples.LEASES),
    "why": (render_facts.why, samples.WHY),
    "mode-paused": (render_facts.mode, ModeReply("paused", "2026-05-01T12:30:00+02:00")),
    "mode-running": (render_facts.mode, ModeReply("running")),
    "wait": (render_facts.wait, WaitReply(True, 3.2)),
    "wait-no-paths": (render_facts.wait, WaitReply(False, 0.0)),
    "wait-any": (render_facts.wait, WaitReply(False, 3.2, ("neo1", "neo2"))),
}


def events(reply, screen):
    for record in reply.events:
        yield from render_facts.event(record, screen)


PAGES["events"] = (events, EventsReply(samples.EVENTS))


@pytest.mark.parametrize("name", PAGES)
def test_page_is_the_golden_one(name):
    view, reply = PAGES[name]
    assert page(view, reply, EIGHTY) == (GOLDEN / f"{name}.txt").read_text()


def test_every_golden_page_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_no_line_is_wider_than_the_terminal(name):
    view, reply = PAGES[name]
    assert max(len(line) for line in page(view, reply, EIGHTY).splitlines()) <= 80


@pytest.mark.parametrize("name", PAGES)
def test_colours_change_nothing_but_colours(name):
    view, reply = PAGES[name]
    coloured = page(view, reply, Screen(80, colour=True))
    for code in ("1", "2", "31", "32", "33", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == page(view, reply, EIGHTY)


def test_an_event_fits_one_line_where_the_terminal_is_wide():
    text = page(render_facts.event, samples.REPAIRED, Screen(120))
    assert text == ("12:01:07.123  repaired  rule:11003/from 10.8.0.5/32 lookup 3  deleted by ip[812]  4.1 ms\n")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({}, "converged", id="converged"),
        pytest.param({"converged": False, "file": samples.DRIFTING.file}, "stale", id="only the file is wrong"),
        pytest.param({"converged": False, "drifts": (samples.BLOCKED,)}, "blocked", id="blocked"),
        pytest.param({"converged": False, "drifts": (samples.BLOCKED, samples.CONFLICT)}, "conflict", id="the worst"),
        pytest.param({"converged": False}, "changing", id="before the first pass"),
    ],
)
def test_the_heading_says_the_worst_in_one_word(changes, word):
    first = page(render.status, replace(samples.CONVERGED, **changes), EIGHTY).splitlines()[0]
    assert first.startswith(f"● neod {word} · 9 paths")


def test_after_down_no_path_is_up():
    down = replace(samples.CONVERGED, mode="down", converged=False)
    assert page(render.status, down, EIGHTY).startswith("● neod down · 0 of 9 paths up")
    assert of_status(down) == DIFFERS


def test_what_nobody_confirmed_is_no_error_of_the_file():
    file = replace(samples.CONVERGED.file, state="stale", problems=("not confirmed in time",), unconfirmed=True)
    text = page(render.status, replace(samples.CONVERGED, converged=False, file=file), EIGHTY)
    assert "the last reload was not confirmed; neod goes on with the one before" in text
    assert "has errors" not in text


@pytest.mark.parametrize(
    "view", [render_plan.plan, render_plan.diff, lambda r, s: render_plan.reload(ReloadReply(r), s)]
)
@pytest.mark.parametrize("mode", ["paused", "down"])
def test_what_is_not_done_before_resume_says_so(view, mode):
    said = f"neod is {mode}: it does nothing of this until neodctl resume."
    assert said in page(view, replace(samples.PLAN, mode=mode), EIGHTY)
    assert said not in page(view, samples.PLAN, EIGHTY)


@pytest.mark.parametrize(
    ("desired", "observed", "line"),
    [
        pytest.param({"a": "1"}, {"a": "1", "mtu": "1500"}, "  is            a=1 mtu=1500", id="as desired"),
        pytest.param({"a": "1"}, {"a": "2"}, "  desired       a=1", id="differs"),
        pytest.param(None, {"a": "2"}, "  desired       not desired", id="orphan"),
    ],
)
def test_why_shows_values_twice_only_where_they_differ(desired, observed, line):
    reply = replace(samples.WHY, desired=desired, observed=observed)
    assert line in page(render_facts.why, reply, EIGHTY).splitlines()


def test_why_says_what_status_says_is_in_the_way():
    drift = replace(samples.CONTESTED, reason="ens3 is a port of br0: use br0")
    reply = replace(samples.WHY, reason="the file asks for it", drift=drift)
    assert page(render_facts.why, reply, EIGHTY).splitlines()[1:3] == [
        "  the file asks for it", "  ens3 is a port of br0: use br0",
    ]  # fmt: skip


EVIL = "a\x1b]0;own\x07\n\r\x9b2Jb\u202ec\u2028d\udc80"


def hostile(kind):
    """Build *kind* with a hostile string wherever a string can be."""
    if isinstance(kind, UnionType):
        kind = kind.__args__[0]
    if is_dataclass(kind):
        return kind(**{item.name: hostile(item.type) for item in fields(kind)})
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        return (hostile(kind.__args__[0]),)
    if origin is not None:
        return {EVIL: hostile(kind.__args__[1])}
    return {str: EVIL, int: 7, float: 7.0, bool: False}[kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [80, 1_000_000])
def test_no_string_of_a_reply_reaches_the_terminal_as_it_came(name, width):
    view, reply = PAGES[name]
    text = page(view, hostile(type(reply)), Screen(width))
    assert all(line.isprintable() for line in text.split("\n"))


def test_what_is_unprintable_is_shown_not_hidden():
    text = page(render_facts.mode, ModeReply("\x1b[2J\u202e"), EIGHTY)
    assert "\\x1b[2J\\u202e" in text


@pytest.mark.parametrize("name", PAGES)
def test_a_reply_survives_the_wire(name):
    import json

    _, reply = PAGES[name]
    assert decode(type(reply), json.loads(encode(reply))) == reply


def test_fields_of_a_newer_daemon_are_ignored():
    assert decode(ConfirmReply, {"file": "/a", "news": [1]}) == ConfirmReply("/a")


def test_a_number_that_json_cannot_say_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(WaitReply(True, float("inf")))


def test_a_thousand_paths_are_a_thousand_lines():
    rows = tuple(samples.path_row(i, detail="x" * (i % 40)) for i in range(1, 1001))
    lines = page(render.status, replace(samples.CONVERGED, paths=rows), EIGHTY).splitlines()
    assert [line.split()[0] for line in lines[3:]] == [row.name for row in rows]
    assert max(map(len, lines)) <= 80


class Terminal:
    def __init__(self, tty):
        self.tty = tty

    def isatty(self):
        return self.tty

    def fileno(self):
        return -1  # no size to ask for: 80


@pytest.mark.parametrize(
    ("tty", "environ", "expected"),
    [
        pytest.param(True, {}, Screen(80, True), id="terminal"),
        pytest.param(True, {"NO_COLOR": "1"}, Screen(80, False), id="no-color"),
        pytest.param(True, {"NO_COLOR": ""}, Screen(80, True), id="empty-no-color-counts-not"),
        pytest.param(True, {"TERM": "dumb"}, Screen(80, False), id="dumb"),
        pytest.param(True, {"COLUMNS": "132"}, Screen(132, True), id="columns"),
        pytest.param(False, {}, Screen(1_000_000, False), id="pipe-cuts-nothing"),
        pytest.param(False, {"COLUMNS": "80"}, Screen(80, False), id="pipe-with-columns"),
    ],
)
def test_colour_and_width_follow_the_terminal(tty, environ, expected):
    assert screen_of(Terminal(tty), environ) == expected
