"""Scenarios can fail, and say where and why."""

from pathlib import Path

import pytest
from tests.system.scenarios.on_fake import OnFake
from tests.system.scenarios.play import Failed, Play
from tests.system.scenarios.script import Line, Misread, for_stage, read

FILE = '-- neo.toml --\n[macvlans.neo]\nparent = "ens3"\ncount = 1\nmptcp = []\n'


@pytest.fixture
def scenario(tmp_path):
    """Write a scenario down and read it."""

    def make(text):
        path = tmp_path / "one.txt"
        path.write_text(text)
        return read(path)

    return make


@pytest.fixture(scope="module")
def playing(tmp_path_factory):
    """A scenario that has come to where neod is converged."""
    path = tmp_path_factory.mktemp("scenario") / "one.txt"
    lines = ["on fake", "lab campus", "remember", "watch", "file neo.toml", "start", "expect converged", FILE]
    path.write_text("\n".join(lines))
    with OnFake() as stage:
        play = Play(read(path), "fake", stage)
        play.play()
        yield play


@pytest.mark.parametrize(
    ("line", "expected", "seen"),
    [
        ("within 0s expect link:neo1 is conflict", "link:neo1 is conflict", "in-sync"),
        ("within 0s expect link:neo2 is in-sync", "link:neo2 is in-sync", "absent"),
        ("within 0s expect status blocked", "neod blocked", "neod converged"),
        ("within 0s expect event repaired link:neo1", "an event: repaired link:neo1", "created link:neo1"),
        ("within 0s expect same owned", "what is owned is as it was", "+ link:neo1"),
        ("fails with 78: neodctl status", "exit status 78", "0"),
        ("says five paths", "says: five paths", ""),
        ("wrote nothing", "nothing was written", "objects"),
        ("file other.toml", "a section -- other.toml --", "neo.toml"),
        ("run rm -rf neod", "can be done", "rm -rf neod"),
        ("juggle", "a word of the vocabulary", "juggle"),
        ("expect miracles", "an expectation of the vocabulary", "miracles"),
    ],
)
def test_a_line_that_does_not_hold_is_shown_with_what_was_expected_and_seen(playing, line, expected, seen):
    with pytest.raises(Failed) as failed:
        playing.line(Line(Path("one.txt"), 8, line))
    said = str(failed.value)
    assert said.startswith(f"one.txt:8: {line}\n")
    wanted, _, found = said.partition("\nexpected ")[2].partition("\nseen ")
    assert expected in wanted
    assert seen in found.partition("── status")[0]
    assert "neod converged · 1 path" in said, "what neod tells of itself"


def test_a_start_that_ought_to_fail_and_does_not_is_a_failure(scenario):
    script = scenario(f"on fake\nlab campus\nfile neo.toml\nstart fails with 78\n{FILE}")
    with OnFake() as stage, pytest.raises(Failed, match=r"neod ends with 78\nseen +it runs"):
        Play(script, "fake", stage).play()


def test_lines_for_another_stage_are_left_out_and_keep_their_numbers(scenario):
    script = scenario(
        "# why\non kernel, fake\nlab campus\n[kernel] stop  # a comment\n[fake] start\nfile a\n-- a --\n# kept\n"
    )
    assert [(line.number, line.text) for line in for_stage(script, "fake")] == [(5, "start"), (6, "file a")]
    assert [(line.number, line.text) for line in for_stage(script, "kernel")] == [(4, "stop"), (6, "file a")]
    assert script.files == {"a": "# kept\n"}


@pytest.mark.parametrize("head", ["", "on fake\n", "lab campus\n", "on moon\nlab campus\n"])
def test_a_scenario_without_a_place_to_be_played_is_refused(scenario, head):
    with pytest.raises(Misread):
        scenario(head + "start\n")
