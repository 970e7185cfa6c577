"""``neodctl reload`` asks on a terminal, and only where something goes that people miss."""

import asyncio
import os
import pty
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.doubles.control import FakeControl, serving

from neod.control import errors
from neod.control.verbs.plan import ChangeRow, ImpactRow, PlanReply, ReloadReply

NEODCTL = [sys.executable, "-c", "import sys; from neod.cli.main import main; sys.exit(main())"]
GONE = ChangeRow("delete", "link:neo1", before={"driver": "macvlan"})
NOTHING = ImpactRow(2, 0)
MUCH = ImpactRow(66, 0, ("neo1", "neo2"), ("neo1", "neo2"), 3, 8)
ME = replace(MUCH, caller="from 192.0.2.7 by neo1 (10.8.0.5), which goes")


def plan(impact):
    return PlanReply("/etc/neo/neo.toml", (GONE,), impact=impact, digest="d1")


def on_terminal(directory, typed, arguments, waits_s=None):
    """Run it on a terminal where *typed* is waiting; return status and what was shown."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    program = NEODCTL
    if waits_s is not None:
        program = [*NEODCTL[:2], f"from neod.cli.commands import reload as r; r.ANSWER_S = {waits_s}; {NEODCTL[2]}"]
    command = [*program, "--runtime-dir", str(directory), "reload", *arguments]
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: nobody has the other end any more
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    return process.returncode, shown.decode()


async def reloaded(directory, impact, typed=b"", *arguments, waits_s=None):
    control = FakeControl()
    control.answers |= {"plan": impact if isinstance(impact, Exception) else plan(impact)}
    control.answers |= {"reload": ReloadReply(plan(None))}
    async with serving(control, directory):
        status, shown = await asyncio.to_thread(on_terminal, directory, typed, arguments, waits_s)
    return status, shown, [call for call in control.calls if call[0] == "reload"]


@pytest.mark.parametrize("impact", [MUCH, replace(NOTHING, leases=("a",)), replace(NOTHING, connections=None)])
async def test_it_asks_where_a_lease_a_path_or_a_connection_would_go(tmp_path, impact):
    status, shown, calls = await reloaded(tmp_path, impact, b"n\n")
    assert (status, calls) == (4, [])
    assert "- link:neo1" in shown
    assert "Reload? [y/N]" in shown
    assert "nothing was changed" in shown


async def test_yes_reloads_the_very_file_that_was_shown(tmp_path):
    status, shown, ((_, _, digest, _),) = await reloaded(tmp_path, MUCH, b"y\n")
    assert (status, digest) == (0, "d1")
    assert "Impact: 66 objects go, 2 leases, 2 paths, 3 open connections by them (8 MPTCP subflows)." in shown
    assert shown.count("link:neo1") == 1  # shown once, before


async def test_no_answer_in_time_is_no(tmp_path):
    status, shown, calls = await reloaded(tmp_path, MUCH, waits_s=0.2)
    assert (status, calls) == (4, [])
    assert "no answer within 0.2 s" in shown


async def test_the_end_of_the_input_is_no(tmp_path):
    assert (await reloaded(tmp_path, MUCH, b"\x04"))[0] == 4


@pytest.mark.parametrize(
    ("impact", "arguments"),
    [
        pytest.param(MUCH, ("--yes",), id="--yes"),
        pytest.param(NOTHING, (), id="nothing that people miss goes"),
        pytest.param(None, (), id="a daemon that does not say"),
        pytest.param(errors.FileInvalid(("neo.toml:1:1: x",)), (), id="what is wrong with the file, the reload tells"),
    ],
)
async def test_it_does_not_ask(tmp_path, impact, arguments):
    status, shown, calls = await reloaded(tmp_path, impact, b"", *arguments)
    assert (status, len(calls)) == (0, 1)
    assert "y/N" not in shown


async def test_it_warns_of_the_callers_own_connection_and_names_the_way_back(tmp_path):
    _, shown, _ = await reloaded(tmp_path, ME, b"n\n")
    assert "your own connection comes in from 192.0.2.7 by neo1 (10.8.0.5), which goes" in " ".join(shown.split())
    assert "--confirm" in shown


async def test_without_a_terminal_it_never_asks(tmp_path):
    control = FakeControl()
    control.answers |= {"plan": plan(MUCH), "reload": ReloadReply(plan(MUCH))}
    async with serving(control, tmp_path):
        command = [*NEODCTL, "--runtime-dir", str(tmp_path), "reload"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert b"66 objects go" in done.stdout
    assert [call[0] for call in control.calls] == ["reload"]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        pytest.param('env -u SSH_CONNECTION "$@"; true', "192.0.2.7 5 192.0.2.1 22", id="as below sudo"),
        pytest.param('SSH_CONNECTION="192.0.2.9 5 192.0.2.1 22" "$@"', "192.0.2.9 5 192.0.2.1 22", id="its own first"),
    ],
)
def test_the_caller_is_found_above_what_clears_the_environment(script, found):
    code = "from neod.cli.caller import caller; print(caller())"
    environ = {**os.environ, "SSH_CONNECTION": "192.0.2.7 5 192.0.2.1 22"}
    command = ["sh", "-c", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.stdout.strip() == found, done.stderr
