"""neodctl against a fake daemon on a real socket: exit statuses, JSON, words, and no traceback ever."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace

import pytest
from tests.doubles.control import STATUS, FakeControl, serving, until

from neod.cli.main import main
from neod.cli.registry import names
from neod.control import errors
from neod.control.verbs.events import EventRecord
from neod.control.verbs.mode import WaitReply
from neod.control.verbs.plan import ApplyReply, BlockedRow, ChangeRow, OutcomeRow, PlanReply
from neod.control.verbs.status import FileState

NEODCTL = [sys.executable, "-c", "import sys; from neod.cli.main import main; sys.exit(main())"]


@pytest.fixture
def control():
    return FakeControl()


async def neodctl(directory, *arguments):
    """Run neodctl in a thread and return its exit status."""

    def blocking():
        try:
            return main(["--runtime-dir", str(directory), *arguments])
        except SystemExit as exc:  # argparse
            return exc.code

    return await asyncio.to_thread(blocking)


CHANGE = ChangeRow("create", "link:neo1", after={"driver": "macvlan"})
STALE = FileState("/etc/neo/neo.toml", "stale", problems=("neo.toml:1:1: x: unknown key",))

TABLE = [
    pytest.param(("status",), {}, 0, id="status of what is converged"),
    pytest.param(("status",), {"status": replace(STATUS, converged=False)}, 1, id="status with drift"),
    pytest.param(("status",), {"status": replace(STATUS, file=STALE)}, 1, id="status with a stale file"),
    pytest.param(("status", "neo9"), {"status": errors.NoSuchObject("neo9")}, 10, id="status of nothing"),
    pytest.param(("diff",), {}, 0, id="no diff"),
    pytest.param(("diff",), {"diff": PlanReply("f", (CHANGE,))}, 1, id="diff"),
    pytest.param(("plan",), {}, 0, id="nothing planned"),
    pytest.param(("plan",), {"plan": PlanReply("f", (CHANGE,))}, 1, id="changes planned"),
    pytest.param(("plan",), {"plan": PlanReply("f", blocked=(BlockedRow("a", ("b",)),))}, 1, id="blocked"),
    pytest.param(("plan",), {"plan": PlanReply("f", conflicts=(CHANGE,))}, 1, id="conflict"),
    pytest.param(("plan", "bad.toml"), {"plan": errors.FileInvalid(("bad.toml:1:1: x",))}, 78, id="plan of a bad file"),
    pytest.param(("apply",), {}, 0, id="apply"),
    pytest.param(("apply",), {"apply": ApplyReply(False, 1, 1.0)}, 1, id="apply with something blocked"),
    pytest.param(
        ("apply",), {"apply": ApplyReply(False, 1, 1.0, (OutcomeRow("create", "a", "failed"),))}, 4, id="apply failed"
    ),
    pytest.param(("apply",), {"apply": errors.ApplyFailed("unreadable")}, 4, id="apply could not run"),
    pytest.param(("apply",), {"apply": errors.Paused()}, 4, id="apply while paused"),
    pytest.param(("apply",), {"apply": errors.NotAllowed("Apply", 1000)}, 77, id="apply by a stranger"),
    pytest.param(("apply",), {"apply": ZeroDivisionError()}, 70, id="apply met a bug"),
    pytest.param(("reload",), {}, 0, id="reload"),
    pytest.param(("reload", "--confirm", "60s"), {}, 0, id="reload --confirm"),
    pytest.param(("reload",), {"reload": errors.FileInvalid(("neo.toml:1:1: x",))}, 78, id="reload of a bad file"),
    pytest.param(("reload",), {"reload": errors.Busy("a reload waits")}, 4, id="reload during a reload"),
    pytest.param(("reload", "--confirm", "soon"), {}, 2, id="reload --confirm soon"),
    pytest.param(("reload", "--confirm", "0s"), {}, 2, id="reload --confirm 0s"),
    pytest.param(("confirm",), {}, 0, id="confirm"),
    pytest.param(("confirm",), {"confirm": errors.NothingToConfirm(True)}, 4, id="confirm too late"),
    pytest.param(("show", "desired"), {}, 0, id="show"),
    pytest.param(("show", "desired", "frob"), {"show": errors.NoSuchObject("frob")}, 10, id="show no kind"),
    pytest.param(("show",), {}, 2, id="show nothing"),
    pytest.param(("show", "all"), {}, 2, id="show what is not"),
    pytest.param(("leases",), {}, 0, id="leases"),
    pytest.param(("why", "link:neo1"), {}, 0, id="why"),
    pytest.param(("why", "neo9"), {"why": errors.NoSuchObject("neo9")}, 10, id="why nothing"),
    pytest.param(("why",), {}, 2, id="why what"),
    pytest.param(("events",), {}, 0, id="events"),
    pytest.param(("events", "--since", "10min"), {}, 0, id="events --since"),
    pytest.param(("events", "--since", "yesterday-ish"), {}, 2, id="events --since when"),
    pytest.param(("wait",), {}, 0, id="wait"),
    pytest.param(("wait", "--any", "--timeout", "1s"), {"wait": WaitReply(False, 1.0, ("neo1",))}, 0, id="wait --any"),
    pytest.param(("wait",), {"wait": errors.TimedOut(("a lease for neo3",))}, 3, id="wait in vain"),
    pytest.param(("pause", "--for", "10min"), {}, 0, id="pause"),
    pytest.param(("resume",), {}, 0, id="resume"),
    pytest.param(("down",), {}, 0, id="down"),
    pytest.param(("completion", "bash"), {}, 0, id="completion"),
    pytest.param(("completion", "tcsh"), {}, 2, id="completion of an unknown shell"),
    pytest.param(("frobnicate",), {}, 2, id="no such command"),
    pytest.param((), {}, 2, id="no command"),
    pytest.param(("status", "--jso"), {}, 2, id="no abbreviations"),
]


@pytest.mark.parametrize(("arguments", "answers", "expected"), TABLE)
async def test_exit_status(control, tmp_path, arguments, answers, expected, capsys):
    control.answers |= answers
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, *arguments) == expected
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if expected in (2, 3, 4, 10, 70, 77, 78) and not (arguments[:1] == ("apply",) and "failed" in out):
        assert err.strip()


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (("status",), "status"),
        (("diff",), "diff"),
        (("plan",), "plan"),
        (("apply",), "apply"),
        (("reload",), "reload"),
        (("confirm",), "confirm"),
        (("show", "observed"), "show"),
        (("leases",), "leases"),
        (("why", "link:neo1"), "why"),
        (("wait",), "wait"),
        (("pause",), "pause"),
        (("resume",), "resume"),
        (("down",), "down"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_json_is_the_reply_model_unchanged(control, tmp_path, arguments, verb, before, capsys):
    arguments = ("--json", *arguments) if before else (*arguments, "--json")
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, *arguments) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asdict(control.answers[verb])))


async def test_an_error_in_json_is_its_name_and_parameters(control, tmp_path, capsys):
    control.answers["why"] = errors.NoSuchObject("neo99", ("neo9",))
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "why", "neo99", "--json") == 10
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "NoSuchObject", "parameters": {"object": "neo99", "similar": ["neo9"]}}
    assert err == "neodctl: no such object: neo99; did you mean neo9?\n"


async def test_events_in_json_are_lines(control, tmp_path, capsys):
    for number in range(3):
        control.feed.append(EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired", f"link:neo{number}"), wall=1.0)
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "events", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["object"] for line in lines] == ["link:neo0", "link:neo1", "link:neo2"]


async def test_events_stand_under_their_local_date(control, tmp_path, capsys):
    for time in ("2026-05-01T12:00:00.000+02:00", "2026-05-01T12:00:00.000Z", "2026-05-01T20:00:00.000-04:00"):
        control.feed.append(EventRecord(0, time, "repaired", "link:neo1"), wall=1.0)
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "events") == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-05-01",
        "12:00:00.000  repaired  link:neo1",
        "14:00:00.000  repaired  link:neo1",
        "2026-05-02",
        "02:00:00.000  repaired  link:neo1",
    ]


async def test_arguments_reach_the_daemon(control, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    async with serving(control, tmp_path):
        await neodctl(tmp_path, "plan", "sub/../a.toml")
        await neodctl(tmp_path, "reload", "--confirm", "1min 30s")
        await neodctl(tmp_path, "wait", "--any", "--timeout", "500ms")
        await neodctl(tmp_path, "pause", "--for", "10min")
        await neodctl(tmp_path, "status", "rule:11003/from 10.8.0.5/32 lookup 3")
        await neodctl(tmp_path, "events", "--since", "2026-05-01 12:00+00:00")
    assert control.calls == [
        ("plan", str(tmp_path / "a.toml"), "192.0.2.7 50000 192.0.2.1 22"),
        ("reload", 90.0, None, "192.0.2.7 50000 192.0.2.1 22"),
        ("wait", True, 0.5),
        ("pause", 600.0),
        ("status", "rule:11003/from 10.8.0.5/32 lookup 3"),
        ("events", 1777636800.0, False),
    ]


async def test_a_wait_in_vain_says_for_what(control, tmp_path, capsys):
    control.answers["wait"] = errors.TimedOut(("a lease for neo3", "link:ens3"))
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "wait") == 3
    assert "a lease for neo3; link:ens3" in capsys.readouterr().err


async def test_a_bad_file_is_one_line_a_problem(control, tmp_path, capsys):
    control.answers["reload"] = errors.FileInvalid(("neo.toml:1:1: a: \x1b[2J", "neo.toml:2:1: b: unknown key"))
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "reload") == 78
    assert capsys.readouterr().err == ("neodctl: neo.toml:1:1: a: \\x1b[2J\nneodctl: neo.toml:2:1: b: unknown key\n")


# ---------------------------------------------------------------- options in any place, and mistakes

FITTING = {"show": ("desired", "link"), "why": ("neo1",), "import": ("ifupdown", "/nowhere"), "completion": ("bash",)}
OPTIONAL = {"status": ("neo1",), "plan": ("/nowhere.toml",), "validate": ("/nowhere.toml",), "help": ("wait",)}


@pytest.mark.parametrize("name", names())
async def test_options_may_stand_anywhere(control, tmp_path, name, capsys):
    """Before and after the command, between its arguments and after them; each time the same comes of it."""
    words, said = (name, *FITTING.get(name, ()), *OPTIONAL.get(name, ())), set()
    async with serving(control, tmp_path):
        for place in range(len(words) + 1):
            given = [*words[:place], "--json", f"--runtime-dir={tmp_path}", *words[place:]]
            status = await asyncio.to_thread(main, given)
            said.add((status, capsys.readouterr()))
    ((status, (out, _)),) = said
    assert status in (0, 78)
    json.loads(out or "{}")  # events without an event are no line


@pytest.mark.parametrize("name", names())
async def test_a_word_too_many_and_an_option_too_many_are_usage(control, tmp_path, name, capsys):
    words = (name, *FITTING.get(name, ()), *OPTIONAL.get(name, ()))
    for more, said in (("one-more", "one-more is one argument too many"), ("--jsn", "--jsn: no such option; did you")):
        assert await neodctl(tmp_path, *words, more) == 2
        out, err = capsys.readouterr()
        assert (out, err.splitlines()[1]) == ("", f"Try: neodctl {name} --help")
        assert err.startswith(f"neodctl {name}: {said}")


async def test_what_follows_two_dashes_is_no_option(control, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with serving(control, tmp_path):
        assert await neodctl(tmp_path, "plan", "--json", "--", "--help") == 0
    assert control.calls[0][:2] == ("plan", str(tmp_path / "--help"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("statsu",), "neodctl: statsu: no such command; did you mean status?\nTry: neodctl --help\n"),
        (("--jsn", "status"), "neodctl: --jsn: no such option; did you mean --json?\nTry: neodctl --help\n"),
        (("--runtime-dir",), "neodctl: --runtime-dir takes a value\nTry: neodctl --help\n"),
        (("status", "--json=yes"), "neodctl status: --json: takes no value\nTry: neodctl status --help\n"),
        (("show",), "neodctl show: desired or observed is missing\nTry: neodctl show --help\n"),
        (("show", "dseired"), "neodctl show: dseired is none of desired, observed; did you mean desired?\n"),
        (("why",), "neodctl why: OBJECT is missing\n"),
        (("wait", "--timeout"), "neodctl wait: --timeout takes a value\n"),
        (("wait", "--timeout", "1"), ""),
        (("status", "--x\x1b[2J"), "neodctl status: --x\\x1b[2J: no such option\n"),
    ],
)
async def test_a_mistake_is_one_line_and_the_next_step(control, tmp_path, words, said, capsys):
    async with serving(control, tmp_path):
        with suppress(SystemExit):
            await asyncio.to_thread(main, [*words, *([f"--runtime-dir={tmp_path}"] if not said else [])])
    assert capsys.readouterr().err.startswith(said)


async def test_without_a_command_all_are_listed(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert all(f"\n    {name}" in err for name in names())


async def test_help_of_a_command_is_what_its_option_says(tmp_path, capsys):
    for name in names():
        assert await neodctl(tmp_path, "help", name) == 0
        said = capsys.readouterr().out
        assert await neodctl(tmp_path, name, "-h") == 0
        assert capsys.readouterr().out == said


# ---------------------------------------------------------------- no daemon


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",), ("diff",), ("plan",), ("apply",), ("reload",), ("confirm",), ("show", "desired"), ("leases",),
        ("why", "x"), ("events",), ("wait",), ("pause",), ("resume",), ("down",),
    ],
)  # fmt: skip
async def test_without_a_daemon_every_command_that_needs_one_exits_8(tmp_path, arguments, capsys):
    assert await neodctl(tmp_path, *arguments) == 8
    assert "neod is not running" in capsys.readouterr().err


async def test_a_socket_that_nobody_serves_is_no_daemon(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "neod.sock"))
    assert await neodctl(tmp_path, "status") == 8


async def test_a_daemon_that_dies_in_the_middle_is_no_daemon(tmp_path, capsys):
    async def hang_up(reader, writer):
        await reader.readuntil(b"\0")
        writer.write(b'{"parameters":{"conv')
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "neod.sock")
    assert await neodctl(tmp_path, "status") == 8
    assert "hung up" in capsys.readouterr().err
    server.close()


async def test_an_answer_of_another_program_is_one_line(tmp_path, capsys):
    async def chatter(reader, writer):
        writer.write(b"220 mail.example ESMTP\0")
        writer.close()

    server = await asyncio.start_unix_server(chatter, tmp_path / "neod.sock")
    assert await neodctl(tmp_path, "status") == 70
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "please report: JSONDecodeError" in err
    server.close()


# ---------------------------------------------------------------- as a process


async def start(directory, *arguments, **options):
    return await asyncio.create_subprocess_exec(
        *NEODCTL, "--runtime-dir", directory, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


async def test_control_c_is_quiet(control, tmp_path):
    async with serving(control, tmp_path):
        process = await start(tmp_path, "events", "--follow")
        await until(lambda: control.calls)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")


async def test_a_reader_that_leaves_is_no_error(control, tmp_path):
    for number in range(2000):
        control.feed.append(EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired", f"link:{number}"), wall=1.0)
    async with serving(control, tmp_path):
        process = await start(tmp_path, "events")
        await process.stdout.readline()
        process.stdout._transport.close()
        err = await asyncio.wait_for(process.stderr.read(), 20)
        await process.wait()
    assert (process.returncode, err) == (141, b"")


async def test_a_terminal_without_unicode_gets_question_marks(control, tmp_path):
    async with serving(control, tmp_path):
        process = await start(tmp_path, "status", env=os.environ | {"PYTHONIOENCODING": "ascii"})
        out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"? neod converged")


async def test_status_starts_without_what_it_does_not_need(control, tmp_path):
    """The start-up budget, as a list of what must not be imported."""
    heavy = {"asyncio", "asyncvarlink", "pydantic", "structlog", "pyroute2", "pathlib", "shutil", "typing_extensions"}
    script = (
        "import sys; from neod.cli.main import main; main(sys.argv[1:]);"
        f"print(sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)"
    )
    async with serving(control, tmp_path):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", script, "--runtime-dir", tmp_path, "status", stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        _, err = await asyncio.wait_for(process.communicate(), 20)
    assert err == b"[]\n"


# ---------------------------------------------------------------- help, completion


@pytest.mark.parametrize("name", names())
async def test_every_help_documents_its_exit_statuses(name, tmp_path, capsys):
    assert await neodctl(tmp_path, name, "--help") == 0
    text = capsys.readouterr().out
    assert "exit status:" in text
    assert "--json" in text
    assert "0  fine" in text


async def test_the_help_lists_every_command(tmp_path, capsys):
    assert await neodctl(tmp_path, "--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n    {name}" in text for name in names())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_knows_every_command_and_option(shell, tmp_path, capsys):
    assert await neodctl(tmp_path, "completion", shell) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in names())
    for word in ("confirm", "since", "timeout", "desired", "observed"):
        assert word in script


async def complete(script, *words):
    """Return what bash would offer for the last of *words*."""
    line = " ".join(f"'{word}'" for word in words)
    test = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _neodctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    process = await asyncio.create_subprocess_exec("bash", "-c", test, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().split()


async def test_bash_completes(tmp_path, capsys):
    await neodctl(tmp_path, "completion", "bash")
    script = capsys.readouterr().out
    assert await complete(script, "neodctl", "st") == ["status"]
    assert await complete(script, "neodctl", "--runtime-dir", "/run/x", "re") == ["reload", "resume"]
    assert await complete(script, "neodctl", "show", "d") == ["desired"]
    assert await complete(script, "neodctl", "--json", "wait", "--t") == ["--timeout"]
