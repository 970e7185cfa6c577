"""Calls over a real socket: every verb, its checks, its errors, and who may."""

import asyncio
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from asyncvarlink import connect_unix_varlink
from asyncvarlink.clientprotocol import VarlinkClientProtocol
from asyncvarlink.serviceinterface import VarlinkServiceInterface
from tests.doubles.control import STATUS, FakeControl, serving, until

from neod.control import client as client_module
from neod.control import errors
from neod.control.access import Groups
from neod.control.client import ControlClient
from neod.control.codec import decode
from neod.control.feed import Feed
from neod.control.peer import Peer
from neod.control.server import AlreadyServed, ControlServer
from neod.control.stream import ClientLimits
from neod.control.varlink import NAME, VarlinkAdapter
from neod.control.varlink import VERBS as VERBS_OF_WIRE
from neod.control.verb import Right
from neod.control.verbs.events import EventRecord
from neod.control.verbs.status import StatusReply


@pytest.fixture
def control():
    return FakeControl()


async def call(directory, method, **parameters):
    """Call as neodctl does, in a thread: the client blocks."""

    def blocking():
        with ControlClient(str(directory)) as client:
            return client.call(method, 10.0, **parameters)

    return await asyncio.to_thread(blocking)


VERBS = [
    ("Status", {}, ("status", None)),
    ("Status", {"object": "neo1"}, ("status", "neo1")),
    ("Diff", {}, ("diff",)),
    ("Plan", {}, ("plan", None, None)),
    ("Plan", {"file": "/tmp/a.toml"}, ("plan", "/tmp/a.toml", None)),
    ("Apply", {}, ("apply",)),
    ("Reload", {}, ("reload", None, None, None)),
    ("Reload", {"confirm_s": 60.0}, ("reload", 60.0, None, None)),
    ("Confirm", {}, ("confirm",)),
    ("Show", {"which": "observed", "kind": "link"}, ("show", "observed", "link")),
    ("Leases", {}, ("leases",)),
    ("Paths", {}, ("paths",)),
    ("Doctor", {}, ("doctor", None)),
    ("Doctor", {"server": "[2001:db8::1]:443"}, ("doctor", "[2001:db8::1]:443")),
    ("Why", {"object": "rule:11003/from 10.8.0.5/32 lookup 3"}, ("why", "rule:11003/from 10.8.0.5/32 lookup 3")),
    ("Wait", {"any": True, "timeout_s": 3}, ("wait", True, 3.0)),
    ("Wait", {}, ("wait", False, 120.0)),
    ("Pause", {"for_s": 600.0}, ("pause", 600.0)),
    ("Resume", {}, ("resume",)),
    ("Down", {}, ("down",)),
]


@pytest.mark.parametrize(("method", "parameters", "expected"), VERBS)
async def test_a_verb_reaches_the_control_and_its_reply_comes_back(control, tmp_path, method, parameters, expected):
    async with serving(control, tmp_path):
        raw = await call(tmp_path, method, **parameters)
    assert control.calls == [expected]
    assert raw == json.loads(json.dumps(asdict(control.answers[expected[0]])))


@pytest.mark.parametrize(
    ("method", "parameters", "wrong"),
    [
        ("Status", {"object": ""}, "object"),
        ("Status", {"object": "a\nb"}, "object"),
        ("Status", {"object": "\udc80"}, "object"),
        ("Status", {"object": "x" * 5000}, "object"),
        ("Status", {"object": 7}, "object"),
        ("Status", {"nonsense": 7}, "nonsense"),
        ("Why", {}, "object"),
        ("Plan", {"file": "relative.toml"}, "file"),
        ("Plan", {"file": "/a\0b"}, "file"),
        ("Show", {"which": "everything"}, "which"),
        ("Doctor", {"server": "example.org:443"}, "server"),
        ("Doctor", {"server": "192.0.2.1:0"}, "server"),
        ("Reload", {"confirm_s": 0}, "confirm_s"),
        ("Reload", {"confirm_s": 1e300}, "confirm_s"),
        ("Wait", {"timeout_s": float("nan")}, "timeout_s"),
        ("Wait", {"timeout_s": -1}, "timeout_s"),
        ("Wait", {"timeout_s": float("inf")}, "timeout_s"),
    ],
)
async def test_an_unsound_argument_never_reaches_the_control(control, tmp_path, method, parameters, wrong):
    async with serving(control, tmp_path):
        with pytest.raises(client_module.Foreign, match=f"InvalidParameter.*{wrong}"):
            await call(tmp_path, method, **parameters)
    assert control.calls == []


@pytest.mark.parametrize(
    "error",
    [
        errors.NoSuchObject("neo99", ("neo9",)),
        errors.FileInvalid(("a.toml:1:1: x: unknown key", "a.toml:2:1: y: unknown key")),
        errors.TimedOut(("a lease for neo3",)),
        errors.ApplyFailed("the kernel could not be read"),
        errors.Busy("a reload waits for its confirmation"),
        errors.Paused("12:30"),
        errors.NothingToConfirm(rolled_back=True),
    ],
)
async def test_an_error_arrives_as_it_was_raised(control, tmp_path, error):
    control.answers["status"] = error
    async with serving(control, tmp_path):
        with pytest.raises(type(error)) as caught:
            await call(tmp_path, "Status")
    assert asdict(caught.value) == asdict(error)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("bug", [ZeroDivisionError("secret"), OSError(5, "secret"), TimeoutError("secret")])
async def test_a_bug_in_one_call_is_an_answer_and_the_next_call_works(control, tmp_path, bug):
    control.answers["leases"] = bug
    async with serving(control, tmp_path):
        with pytest.raises(errors.InternalError) as caught:
            await call(tmp_path, "Leases")
        assert decode(StatusReply, await call(tmp_path, "Status")) == STATUS
    (logged,) = [entry for entry in control.log if entry["event"] == "control call failed"]
    assert logged["reference"] == caught.value.reference
    assert logged["exc_info"]
    assert "secret" not in str(caught.value)


async def test_a_method_of_a_newer_neodctl_is_refused_by_name(control, tmp_path):
    async with serving(control, tmp_path):
        with pytest.raises(client_module.Foreign, match="MethodNotFound"):
            await call(tmp_path, "Prophesy")


async def test_private_names_are_no_methods(control, tmp_path):
    async with serving(control, tmp_path):
        with pytest.raises(client_module.Foreign, match="MethodNotFound"):
            await call(tmp_path, "Name")


# ---------------------------------------------------------------- the call itself


async def said(directory, *frames):
    """Send *frames* and a last call that is fine; return the replies up to its own."""
    reader, writer = await asyncio.open_unix_connection(directory / "neod.sock")
    writer.write(b"".join(json.dumps(frame).encode() + b"\0" for frame in (*frames, {"method": f"{NAME}.Leases"})))
    replies = []
    while {"parameters": {"leases": []}} not in replies:
        replies.append(json.loads((await asyncio.wait_for(reader.readuntil(b"\0"), 10))[:-1]))
    writer.close()
    return replies[:-1]


def refused(name, value):
    key = {"InterfaceNotFound": "interface", "MethodNotFound": "method"}.get(name, "parameter")
    return {"error": f"org.varlink.service.{name}", "parameters": {key: value}}


STATUS_CALL = {"method": f"{NAME}.Status"}
UNSOUND_CALLS = {
    "no method": ({}, "InvalidParameter", "method"),
    "method null": ({"method": None}, "InvalidParameter", "method"),
    "method a number": ({"method": 7}, "InvalidParameter", "method"),
    "parameters a list": (STATUS_CALL | {"parameters": []}, "InvalidParameter", "parameters"),
    "parameters a text": (STATUS_CALL | {"parameters": ""}, "InvalidParameter", "parameters"),
    "more a number": (STATUS_CALL | {"more": 1}, "InvalidParameter", "more"),
    "oneway a text": (STATUS_CALL | {"oneway": "true"}, "InvalidParameter", "oneway"),
    "upgrade a list": (STATUS_CALL | {"upgrade": []}, "InvalidParameter", "upgrade"),
    "upgrade": (STATUS_CALL | {"upgrade": True}, "InvalidParameter", "upgrade"),
    "a NUL in a text": (STATUS_CALL | {"parameters": {"object": "a\0"}}, "InvalidParameter", "object"),
    "an unqualified method": ({"method": "Status"}, "InterfaceNotFound", ""),
    "an odd interface": ({"method": "..Status"}, "InterfaceNotFound", "."),
    "an unknown interface": ({"method": "org.neo.Control9.Status"}, "InterfaceNotFound", "org.neo.Control9"),
    "an unknown method": ({"method": f"{NAME}.Prophesy"}, "MethodNotFound", "Prophesy"),
    "a method in lower case": ({"method": f"{NAME}.status"}, "MethodNotFound", "status"),
    "a method of Python": ({"method": f"{NAME}.__init__"}, "MethodNotFound", "__init__"),
    "a NUL in a method": ({"method": f"{NAME}.Status\0"}, "MethodNotFound", "Status\0"),
}


@pytest.mark.parametrize(("call_", "error", "place"), UNSOUND_CALLS.values(), ids=UNSOUND_CALLS)
async def test_an_unsound_call_is_answered_by_name_and_the_connection_stays(control, tmp_path, call_, error, place):
    async with serving(control, tmp_path):
        assert await said(tmp_path, call_) == [refused(error, place)]
    assert [name for name, *_ in control.calls] == ["leases"]


@pytest.mark.parametrize("call_", [each for each, *_ in UNSOUND_CALLS.values() if "oneway" not in each])
async def test_who_wants_no_answer_gets_none_to_an_unsound_call_either(control, tmp_path, call_):
    async with serving(control, tmp_path):
        assert await said(tmp_path, call_ | {"oneway": True}) == []


async def test_no_answer_and_more_than_one_contradict_each_other(control, tmp_path):
    async with serving(control, tmp_path):
        assert await said(tmp_path, {"method": f"{NAME}.Status", "oneway": True, "more": True}) == []
    assert [name for name, *_ in control.calls] == ["leases"]


@pytest.mark.parametrize("verb", VERBS_OF_WIRE.values(), ids=VERBS_OF_WIRE)
async def test_null_is_as_not_there_in_every_call(control, tmp_path, verb):
    required = [parameter.name for parameter in verb.parameters if parameter.required]
    nulls = {"oneway": None, "more": True if verb.streams else None, "upgrade": None, "anything": None}
    without = {"method": f"{NAME}.{verb.name}", "parameters": None} | nulls
    with_nulls = without | {"parameters": {parameter.name: None for parameter in verb.parameters}}
    async with serving(control, tmp_path):
        one, other = await said(tmp_path, without), await said(tmp_path, with_nulls)
    assert one == other
    if required:
        assert one == [refused("InvalidParameter", required[0])]
    else:
        assert [call[0] for call in control.calls] == [verb.method, "leases"] * 2


@pytest.mark.parametrize("verb", VERBS_OF_WIRE.values(), ids=VERBS_OF_WIRE)
async def test_a_parameter_of_another_type_is_refused_by_name(control, tmp_path, verb):
    fine = {"which": "desired", "object": "neo1"}
    given = {parameter.name: fine[parameter.name] for parameter in verb.parameters if parameter.required}
    of_no_type = {float: True, float | None: True, bool: 1}
    wrong = [
        (parameter.name, value)
        for parameter in verb.parameters
        for value in ([], {"a": 1}, of_no_type.get(parameter.type, 7))
    ]
    flags = {"method": f"{NAME}.{verb.name}", "more": verb.streams}
    calls = [flags | {"parameters": given | {name: value}} for name, value in wrong]
    async with serving(control, tmp_path):
        replies = await said(tmp_path, *calls)
    assert replies == [refused("InvalidParameter", name) for name, _ in wrong]


# ---------------------------------------------------------------- events


def record(number):
    return EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired", f"link:neo{number}")


async def stream(directory, **parameters):
    def blocking():
        with ControlClient(str(directory)) as client:
            return [item for raw in client.stream("Events", **parameters) for item in raw["events"]]

    return await asyncio.to_thread(blocking)


async def test_kept_events_come_in_order_and_the_stream_ends(control, tmp_path):
    for number in range(1000):
        control.feed.append(record(number), wall=1000.0 + number)
    async with serving(control, tmp_path):
        assert [item["seq"] for item in await stream(tmp_path)] == list(range(1, 1001))
        assert [item["seq"] for item in await stream(tmp_path, since=1990.0)] == list(range(991, 1001))
        assert await stream(tmp_path, since=5000.0) == []


async def test_events_since_no_time_are_refused(control, tmp_path):
    async with serving(control, tmp_path):
        with pytest.raises(client_module.Foreign, match=r"InvalidParameter.*since"):
            await stream(tmp_path, since=float("inf"))
    assert control.calls == []


async def test_followed_events_come_as_they_happen_and_end_when_the_reader_leaves(control, tmp_path):
    control.feed.append(record(0), wall=1.0)
    async with serving(control, tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock")
        request = {"method": "org.neo.Control1.Events", "parameters": {"follow": True}, "more": True}
        writer.write(json.dumps(request).encode() + b"\0")
        await until(lambda: control.calls)
        for number in (1, 2):
            control.feed.append(record(number), wall=2.0)
            reply = json.loads((await reader.readuntil(b"\0"))[:-1])
            assert reply["continues"] is True
            assert [item["object"] for item in reply["parameters"]["events"]] == [f"link:neo{number}"]
        assert control.cancelled == []
        writer.close()
        await until(lambda: control.cancelled == ["events"])


async def test_a_reader_that_was_lapped_is_told_and_let_go(control, tmp_path):
    control.feed = Feed(capacity=4)
    async with serving(control, tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock", limit=1 << 24)
        request = {"method": "org.neo.Control1.Events", "parameters": {"follow": True}, "more": True}
        writer.write(json.dumps(request).encode() + b"\0")
        await until(lambda: control.calls)
        for number in range(10):  # without a turn of the loop: six are overwritten before they can be sent
            control.feed.append(record(number), wall=2.0)
        frame = json.loads((await reader.readuntil(b"\0"))[:-1])
        assert frame["error"] == "org.neo.Control1.Lagged"
        assert frame["parameters"]["missed"] == 6
        writer.close()


async def test_events_ask_for_more(control, tmp_path):
    async with serving(control, tmp_path):
        with pytest.raises(client_module.Foreign, match="ExpectedMore"):
            await call(tmp_path, "Events")


# ---------------------------------------------------------------- leaving early


async def test_a_wait_ends_with_its_caller(control, tmp_path):
    control.endless = {"wait"}
    async with serving(control, tmp_path):
        _, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock")
        writer.write(b'{"method":"org.neo.Control1.Wait"}\0')
        await until(lambda: control.calls)
        writer.close()
        await until(lambda: control.cancelled == ["wait"])


async def test_a_wait_of_a_caller_that_is_gone_already_ends(control, tmp_path):
    control.endless = {"wait"}
    async with serving(control, tmp_path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "neod.sock"))
            sock.sendall(b'{"method":"org.neo.Control1.Wait"}\0')
        await until(lambda: control.cancelled == ["wait"])


async def test_a_pass_is_finished_though_its_caller_left(control, tmp_path):
    started, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def apply():
        started.set()
        await release.wait()
        finished.set()
        return control.answers["apply"]

    control.apply = apply
    async with serving(control, tmp_path):
        _, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock")
        writer.write(b'{"method":"org.neo.Control1.Apply"}\0')
        await asyncio.wait_for(started.wait(), 10)
        writer.close()
        assert await call(tmp_path, "Leases") == {"leases": []}  # the loop has seen the hang-up by now
        release.set()
        await asyncio.wait_for(finished.wait(), 10)


async def test_a_caller_that_only_stops_sending_gets_its_answer(control, tmp_path):
    release = asyncio.Event()

    async def wait(any, timeout_s):
        control.calls.append(("wait",))
        await release.wait()
        return control.answers["wait"]

    control.wait = wait
    async with serving(control, tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock")
        writer.write(b'{"method":"org.neo.Control1.Wait"}\0')
        writer.write_eof()
        await until(lambda: control.calls)
        await call(tmp_path, "Leases")
        release.set()
        assert json.loads((await asyncio.wait_for(reader.read(), 10))[:-1])["parameters"]["converged"] is True
        writer.close()


async def test_a_oneway_call_is_done_and_not_answered(control, tmp_path):
    async with serving(control, tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "neod.sock")
        writer.write(b'{"method":"org.neo.Control1.Apply","oneway":true}\0{"method":"org.neo.Control1.Confirm"}\0')
        reply = json.loads((await reader.readuntil(b"\0"))[:-1])
        assert reply["parameters"] == {"file": "/etc/neo/neo.toml"}
        assert [name for name, *_ in control.calls] == ["apply", "confirm"]
        writer.close()


# ---------------------------------------------------------------- introspection


async def test_any_varlink_client_can_ask_what_there_is(control, tmp_path):
    async with serving(control, tmp_path):
        transport, protocol = await connect_unix_varlink(VarlinkClientProtocol, tmp_path / "neod.sock")
        service = protocol.make_proxy(VarlinkServiceInterface)
        info = await service.GetInfo()
        assert info["product"] == "neod"
        assert info["interfaces"] == ["org.neo.Control1", "org.varlink.service"]
        description = (await service.GetInterfaceDescription(interface="org.neo.Control1"))["description"]
        assert description == VarlinkAdapter.render_interface_description()
        for name in ("Status", "Events", "Down"):
            assert f"method {name}(" in description
        for cls in errors.ERRORS:
            assert f"error {cls.__name__} (" in description
        status = await protocol.make_proxy(VarlinkAdapter).Status()
        assert status["converged"] is True
        assert status["paths"][0].name == "neo1"
        transport.close()


# ---------------------------------------------------------------- the socket file


async def test_the_socket_is_only_for_us_and_gone_at_the_end(control, tmp_path):
    async with serving(control, tmp_path) as server:
        mode = server.path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == (0o600 if server.groups == Groups() else 0o660)
    assert not server.path.exists()


async def test_the_file_of_a_dead_daemon_is_replaced(control, tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "neod.sock"))
    async with serving(control, tmp_path):
        assert decode(StatusReply, await call(tmp_path, "Status")) == STATUS


async def test_a_second_daemon_leaves_the_socket_of_the_first(control, tmp_path):
    async with serving(control, tmp_path):
        with pytest.raises(AlreadyServed):
            ControlServer(control, tmp_path, "0.1.0").bind()
        assert decode(StatusReply, await call(tmp_path, "Status")) == STATUS


async def test_a_file_in_the_way_is_not_removed(control, tmp_path):
    (tmp_path / "neod.sock").write_text("precious")
    async with serving(control, tmp_path):
        assert decode(StatusReply, await call(tmp_path, "Status")) == STATUS
    assert (tmp_path / "neod.sock.bad").read_text() == "precious"


async def test_the_socket_of_a_successor_is_left(control, tmp_path):
    async with serving(control, tmp_path) as server:
        server.path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(server.path))
            inode = server.path.stat().st_ino
    assert server.path.stat().st_ino == inode


async def test_a_long_runtime_directory_works(control, tmp_path):
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    async with serving(control, directory):
        assert decode(StatusReply, await call(directory, "Status")) == STATUS


# ---------------------------------------------------------------- access control

NOBODY = 65534
AS_STRANGER = """
import os, sys
directory, gid, method, more = sys.argv[1:5]
from neod.control.client import ControlClient
from neod.control.errors import ControlError
os.setgroups([int(gid)] if gid else [])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    with ControlClient(directory) as client:
        print(client.call(method, 10.0, **({"file": "/etc/shadow"} if more else {})) and "answered")
except ControlError as exc:
    print(type(exc).__name__)
"""


async def as_stranger(directory, method, gid="", more=""):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AS_STRANGER, directory, gid, method, more, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode().strip()


@pytest.fixture
def public_dir(tmp_path_factory):
    """A directory strangers can reach; pytest's own are closed."""
    if os.geteuid() != 0:
        pytest.skip("needs root: becomes another user")
    directory = tempfile.mkdtemp(prefix="neo-ipc-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory)


async def test_who_writes_is_logged_and_who_reads_is_not(control, tmp_path):
    async with serving(control, tmp_path):
        await call(tmp_path, "Status")
        await call(tmp_path, "Down")
    assert [(e["event"], e["method"], e["uid"], e["pid"]) for e in control.log] == [
        ("control call", "Down", os.geteuid(), os.getpid())
    ]


@pytest.mark.kernel
async def test_the_file_mode_keeps_strangers_out(control, public_dir):
    async with serving(control, Path(public_dir)):
        assert await as_stranger(public_dir, "Status") == "NoAccess"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("method", "more"),
    [("Apply", ""), ("Reload", ""), ("Confirm", ""), ("Pause", ""), ("Resume", ""), ("Down", ""), ("Plan", "file")],
)
async def test_a_stranger_who_may_connect_reads_but_does_not_write(control, public_dir, method, more):
    async with serving(control, Path(public_dir)) as server:
        server.path.chmod(0o666)
        assert await as_stranger(public_dir, "Status") == "answered"
        assert await as_stranger(public_dir, method, more=more) == "NotAllowed"
    assert [name for name, *_ in control.calls] == ["status"]


@pytest.mark.kernel
async def test_a_supplementary_group_counts(control, public_dir):
    async with serving(control, Path(public_dir), groups=Groups(54321)) as server:
        server.path.chmod(0o666)
        assert await as_stranger(public_dir, "Apply", gid="54322") == "NotAllowed"
        assert await as_stranger(public_dir, "Apply", gid="54321") == "answered"


@pytest.mark.parametrize(
    ("peer", "group", "may"),
    [
        pytest.param(Peer(1, 0, frozenset({0})), None, True, id="root"),
        pytest.param(Peer(1, os.geteuid(), frozenset({5})), None, True, id="our own user"),
        pytest.param(Peer(1, 4711, frozenset({5, 6})), 6, True, id="the group"),
        pytest.param(Peer(1, 4711, frozenset({5})), 6, False, id="another group"),
        pytest.param(Peer(1, 4711, frozenset({0})), None, False, id="no such group, gid 0 is nothing"),
    ],
)
def test_who_may_write(peer, group, may):
    assert peer.may(Right.WRITE, group) is may
    assert peer.may(Right.READ, group)


@pytest.mark.kernel
async def test_a_stranger_gets_eight_connections_and_root_still_gets_in(control, public_dir):
    script = """
import os, socket, sys
os.setresuid(65534, 65534, 65534)
held = []
for _ in range(12):
    sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1] + "/neod.sock"); sock.settimeout(10)
    try:
        sock.sendall(b'{"method":"org.neo.Control1.Leases"}\\0')
    except BrokenPipeError:
        pass  # turned away before it asked
    answer = sock.recv(4096)
    held.append(sock)
    print(b"Overrun" in answer)
"""
    async with serving(control, Path(public_dir), ClientLimits(connections=64)) as server:
        server.path.chmod(0o666)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, public_dir, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        assert out.decode().split() == ["False"] * 8 + ["True"] * 4
        assert decode(StatusReply, await call(public_dir, "Status")) == STATUS
