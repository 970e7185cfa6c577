"""``neodctl`` after an upgrade, while the daemon that was started before it still runs."""

import asyncio
import dataclasses
import json
import re
import types
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from neod.cli.main import main
from neod.control.codec import encode
from neod.control.varlink import VERBS
from neod.control.verbs.plan import ChangeRow, PlanReply, ReloadReply

RELEASED = (Path(__file__).parent / "golden/org.neo.Control1-0.1.0.varlink").read_text()
TYPES = {name: re.findall(r"(\w+):", body) for name, body in re.findall(r"^type (\w+) \((.*)\)$", RELEASED, re.M)}
METHODS = {
    name: (re.findall(r"(\w+):", given), re.findall(r"(\w+):", reply))
    for name, given, reply in re.findall(r"^method (\w+)\((.*)\) -> \((.*)\)$", RELEASED, re.M)
}
SSH = "192.0.2.7 50000 10.8.0.5 22"


def old_fields(reply, known):
    """Return *reply* as a daemon sends it whose replies have the fields *known*, and rows those of its types."""
    plain = json.loads(encode(reply))
    return {name: value for name, value in plain.items() if name in known}


@asynccontextmanager
async def released(directory, answers, calls):
    """Serve the interface of the release: it knows no other parameter, and names the first of those."""

    async def serve(reader, writer):
        while call := await read(reader):
            name, given = call["method"].removeprefix("org.neo.Control1."), call["parameters"]
            known, reply = METHODS[name]
            calls.append((name, given))
            if other := [each for each in given if each not in known]:
                answer = {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": other[0]}}
            else:
                answer = {"parameters": old_fields(answers[name], reply)}
            writer.write(json.dumps(answer).encode() + b"\0")
        writer.close()

    async def read(reader):
        try:
            return json.loads((await reader.readuntil(b"\0"))[:-1])
        except asyncio.IncompleteReadError:
            return None

    async with await asyncio.start_unix_server(serve, directory / "neod.sock"):
        yield


PLAN = PlanReply("/etc/neo/neo.toml", (ChangeRow("create", "link:neo1", after={"driver": "macvlan"}),), digest="d1")


@pytest.mark.parametrize("ssh", [SSH, None])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("plan",), 1), (("plan", "/etc/other.toml"), 1), (("reload",), 0), (("reload", "--confirm", "60s"), 0)],
)
async def test_what_only_adds_to_an_answer_is_left_out_for_it(tmp_path, monkeypatch, capsys, ssh, arguments, status):
    calls = []
    monkeypatch.setattr("neod.cli.caller._of_ancestors", lambda: iter(()))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    if ssh:
        monkeypatch.setenv("SSH_CONNECTION", ssh)
    async with released(tmp_path, {"Plan": PLAN, "Reload": ReloadReply(PLAN)}, calls):
        found = await asyncio.to_thread(main, ["--runtime-dir", str(tmp_path), *arguments])
    out, err = capsys.readouterr()
    assert (found, err) == (status, "")
    assert "+ link:neo1" in out
    assert len(calls) == (2 if ssh else 1)
    assert calls[-1][1] == {"file": "/etc/other.toml"} or calls[-1][1] in ({}, {"confirm_s": 60.0})


@pytest.mark.parametrize("name", METHODS)
def test_every_verb_of_the_release_is_there_and_what_it_does_not_know_can_be_left_out(name):
    given, reply = METHODS[name]
    verb = VERBS[name]
    assert [each.name for each in verb.parameters][: len(given)] == given
    assert all(not each.required for each in verb.parameters[len(given) :])
    assert added_fields(verb.reply, reply) == []


@pytest.mark.parametrize("name", TYPES)
def test_fields_that_rows_of_the_release_do_not_have_have_a_default(name):
    assert added_fields(rows()[name], TYPES[name]) == []


def added_fields(cls, known):
    """Return those beside the *known* ones that a reply may not be without, and those known that are no more."""
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    fields = dataclasses.fields(cls)
    needed = [one.name for one in fields if one.name not in known and (one.default, one.default_factory) == missing]
    return needed + sorted(set(known) - {one.name for one in fields})


def rows():
    """Return every dataclass that replies consist of, by name."""
    found, todo = {}, [verb.reply for verb in VERBS.values()]
    while todo:
        kind = todo.pop()
        todo += [] if kind is types.NoneType else getattr(kind, "__args__", ())
        if dataclasses.is_dataclass(kind) and kind.__name__ not in found:
            found[kind.__name__] = kind
            todo += [one.type for one in dataclasses.fields(kind)]
    return found


async def test_what_it_cannot_do_is_said_with_the_next_step(tmp_path, capsys):
    async def refuse(reader, writer):
        await reader.readuntil(b"\0")
        writer.write(b'{"error": "org.varlink.service.MethodNotFound", "parameters": {"method": "Diff"}}\0')

    async with await asyncio.start_unix_server(refuse, tmp_path / "neod.sock"):
        assert await asyncio.to_thread(main, ["--runtime-dir", str(tmp_path), "diff"]) == 70
    err = capsys.readouterr().err
    assert "of another version" in err
    assert "systemctl restart neod" in err
