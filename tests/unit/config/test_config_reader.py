"""The child that reads the file, and the daemon's side of it."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from neod.config import reader
from neod.config.__main__ import allowed_cpu_s
from neod.config.load import load
from neod.features.daemon.compile import DaemonSettings
from neod.features.parts import PathInfo
from neod.model.errors import ConfigError, ReadingFailed

SAMPLE = Path(__file__).with_name("sample.toml")
ENVIRON: dict[str, str] = {}

NOT_IN_THE_DAEMON = ("pydantic", "pydantic_settings", "pydantic_core", "tomllib", "neod.config.load")


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_child_finds_what_we_would():
    assert reader.collect(reader.spawn(str(SAMPLE), ENVIRON)) == load(SAMPLE, ENVIRON)


async def test_reading_without_blocking_finds_the_same():
    assert await reader.read(str(SAMPLE), ENVIRON) == load(SAMPLE, ENVIRON)


async def test_the_loop_turns_while_the_child_reads():
    reading = asyncio.create_task(reader.read(str(SAMPLE), ENVIRON))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10
    assert (await reading).of(PathInfo)


async def test_a_reader_that_is_cancelled_leaves_no_child(tmp_path, monkeypatch):
    children = []
    spawn = reader.spawn
    monkeypatch.setattr(reader, "spawn", lambda *given: children.append(spawn(*given)) or children[0])
    monkeypatch.setattr(reader, "BOOT", "import time; time.sleep(60)")
    reading = asyncio.create_task(reader.read(str(SAMPLE), ENVIRON))
    while not children:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(children[0].wait, 10) == -9


def test_what_is_wrong_comes_over_line_by_line(tmp_path):
    file = tmp_path / "neo.toml"
    file.write_text("[uplinks.a]\ntable = 0\n[uplinks.b]\n")
    with pytest.raises(ConfigError) as caught:
        reader.collect(reader.spawn(str(file), ENVIRON))
    with pytest.raises(ConfigError) as expected:
        load(file, ENVIRON)
    assert caught.value.problems == expected.value.problems
    assert len(caught.value.problems) == 2


def test_the_variables_that_are_given_count_and_ours_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NEO_DAEMON__LOG_LEVEL", "error")
    intents = reader.collect(reader.spawn(str(SAMPLE), {"NEO_DAEMON__ON_STOP": "remove"}))
    settings = intents.settings(DaemonSettings)
    assert (settings.log_level, settings.on_stop) == ("info", "remove")
    assert reader.collect(reader.spawn(str(SAMPLE))).settings(DaemonSettings).log_level == "error"


def test_the_python_path_and_the_working_directory_of_the_child_are_ours(tmp_path, monkeypatch):
    for name in ("pydantic.py", "tomllib.py", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    environ = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}
    assert reader.collect(reader.spawn(str(SAMPLE), environ)).of(PathInfo)


@pytest.mark.parametrize(
    ("boot", "error", "line"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)",
            ConfigError,
            "takes too much processor time to read; ",
        ),
        ("import os; os.abort()", ReadingFailed, "the process that reads it ended with SIGABRT: "),
        (
            "raise SystemExit('\\x1b[2Jgone')",
            ReadingFailed,
            "the process that reads it ended with status 1: \\x1b[2Jgone; ",
        ),
        ("pass", ReadingFailed, "the process that reads it ended with status 0: it said nothing; "),
        ("print('x' * 40)", ReadingFailed, "the process that reads it ended with status 0: it said nothing; "),
    ],
)
def test_a_child_that_dies_is_an_error_and_never_nothing_desired(monkeypatch, boot, error, line):
    monkeypatch.setattr(reader, "BOOT", boot)
    with pytest.raises(ConfigError) as caught:
        reader.collect(reader.spawn("/x/neo.toml", ENVIRON))
    assert type(caught.value) is error
    (problem,) = caught.value.problems
    assert problem.startswith(f"/x/neo.toml: {line}")


def test_a_child_that_cannot_be_started_is_an_error(monkeypatch):
    monkeypatch.setattr(reader.sys, "executable", "/nonexistent/python3")
    with pytest.raises(ReadingFailed) as caught:
        reader.spawn("/x/neo.toml", ENVIRON)
    assert str(caught.value).startswith("/x/neo.toml: cannot start the process that reads it: No such file")


def test_a_child_that_takes_too_long_is_killed(monkeypatch):
    monkeypatch.setattr(reader, "BOOT", "import time; time.sleep(60)")
    child = reader.spawn("/x/neo.toml", ENVIRON)
    with pytest.raises(ReadingFailed) as caught:
        reader.collect(child, patience_s=0.2)
    assert caught.value.problems == (
        "/x/neo.toml: took longer than 0.2 s to read; look at what keeps the disk or the processors busy",
    )
    assert child.returncode == -9


def test_the_child_limits_its_memory_and_time():
    code = (
        "import os, resource, sys, neod.config.__main__ as child; told = os.dup(1);"
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1); child.main(sys.argv[1:]);"
        "limits = [resource.getrlimit(limit)[0] for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU)];"
        "os.write(told, repr(limits).encode())"
    )
    memory, processor_s = (int(limit) for limit in run(code, "intents", str(SAMPLE)).strip("[]").split(","))
    assert memory == 1 << 30
    assert 10 <= processor_s < 1000  # more only where the imports alone show that the machine is slow


def test_a_slow_machine_has_as_much_more_time_as_it_is_slower():
    assert [allowed_cpu_s(used_s) for used_s in (0.0, 0.2, 0.5, 5.0, 10.0)] == [10, 10, 10, 105, 210]


def test_who_only_reads_through_a_child_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from neod.config import reader; c = reader.spawn(sys.argv[1], {});"
        "before = set(sys.modules); reader.collect(c);"
        f"print([name for name in {NOT_IN_THE_DAEMON!r} if name in sys.modules], 'asyncio' in before)"
    )
    assert run(code, str(SAMPLE)) == "[] False"


def test_what_variables_said_is_plain_text_to_the_daemon():
    environ = {
        "NEO_DAEMON__LOG_LEVEL": "debug",
        "NEO_METRICS__LISTEN": "127.0.0.1:1",
        "NEO_MACVLANS__NEO__MODE": "vepa",
        "NEO_MACVLANS__NEO__PARENT": "ens9",
        "NEO_SYSCTL": '{"net.ipv4.ip_forward": "1"}',
    }
    dumped = pickle.dumps(load(SAMPLE, environ))
    code = (
        "import sys, os; sys.path[:] = os.environ['WHERE'].split(':'); import pickle;"
        "pickle.load(sys.stdin.buffer); print([n for n in sys.modules if n.startswith(('pydantic', 'neod.config'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=dumped,
        capture_output=True,
        check=True,
        timeout=60,
        env={"WHERE": ":".join(place for place in sys.path if place)},
    )
    assert done.stdout.decode().strip() == "[]"


BOMBS = {
    "dotted keys": "".join(".".join(["a"] * 15) + f".b{number} = 1\n" for number in range(25_000)),
    "deep dots": ".".join(["a"] * 100_000) + " = 1\n",
    "deep brackets": "a = " + "[" * 500_000,
    "long number": "a = " + "9" * 1_000_000,
    "many interfaces": "".join(f'[macvlans.g{n}]\nparent = "e"\ncount = 4000\n' for n in range(20_000)),
    "many ids": '[macvlans.m]\nparent = "e"\nids = "' + "1-4000," * 100_000 + '1"\n',
    "many overrides": '[macvlans.m]\nparent = "e"\ncount = 64\n'
    + "".join(f"[macvlans.m.override.x{n}]\n" for n in range(20_000)),
    "many uplinks": "".join(f"[uplinks.u{n}]\ntable = {n}\n" for n in range(20_000)),
    "many unknown keys": "[daemon]\n" + "".join(f"resyn{n} = 1\n" for n in range(40_000)),
    "many sysctls": "[sysctl]\n" + "".join(f'"net.{n}" = 1\n' for n in range(40_000)),
}


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_as_an_error_within_the_limits_of_the_child(tmp_path, text):
    file = tmp_path / "neo.toml"
    file.write_text(text[: 1 << 20])
    with pytest.raises(ConfigError) as caught:
        reader.collect(reader.spawn(str(file), ENVIRON))
    assert "ended with" not in str(caught.value), str(caught.value)


@pytest.mark.slow
def test_no_descriptor_and_no_child_is_left():
    code = (
        "import os, sys; from neod.config import reader; before = os.listdir('/proc/self/fd')\n"
        "for _ in range(3): reader.collect(reader.spawn(sys.argv[1], {}))\n"
        "print(os.listdir('/proc/self/fd') == before, open(f'/proc/self/task/{os.getpid()}/children').read())"
    )
    assert run(code, str(SAMPLE)) == "True"
