"""Flows are compared once rules were written, after a reload cannot be undone any more, and open TCP only if asked."""

import asyncio
import tempfile
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from tests.doubles.waiting import until

from neod.daemon.flow_cutter import FlowCutter
from neod.daemon.translation_store import TranslationStore
from neod.features.intents import Intents
from neod.features.nat.compile import NatSettings
from neod.kernel.files import StateFile
from neod.kinds.nat import NatKey, NatSpec
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.errors import KernelError
from neod.model.nat import AnswerBy, Dnat, Guard, Ruleset, SnatFrom, SnatTo
from neod.netlink.conntrack import Ends, TrackedFlow
from neod.netlink.host_addresses import HostAddress

HOST = [HostAddress("eth0", ip_address("192.0.2.1"), 24)]
CLIENT, OWN, A, B = (ip_address(ip).packed for ip in ("192.0.2.7", "192.0.2.1", "198.51.100.1", "198.51.100.2"))


class Log:
    def __init__(self):
        self.notes = []

    def note(self, what, **fields):
        self.notes.append((what, fields["detail"]))


def flow(protocol, *, to=OWN, half_open=False):
    return TrackedFlow(protocol, Ends(CLIENT, 4, OWN, 443), Ends(to, 443, CLIENT, 4), half_open, b"")


def rules(to=None):
    sends = [Dnat(protocol, 443, 443, ip_address(to)) for protocol in ("tcp", "udp")] if to else []
    return NatSpec(Ruleset(tuple(sends)))


def written(spec, op=Op.UPDATE, error=None):
    change = Change(op, NatKey(""), None, None if op is Op.DELETE else spec)
    return Report(1, 0.0, 0.0, "", Plan(), (Outcome(change, error),))


def played(script, flows=(), path=None, fails=None):
    """Return what each comparison condemned while *script* ran with a cutter, and the notes."""
    told, log = [], Log()

    def cut(netns, judge):
        if fails is not None:
            told.append(1)
            raise fails
        condemns = judge(HOST)
        told.append([one for one in flows if condemns(one)])
        return told[-1]

    async def go():
        cutter = FlowCutter(log, TranslationStore(StateFile(path or Path(directory) / "rules")), cut)
        task = asyncio.create_task(cutter.run())
        await script(cutter, told)
        task.cancel()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(go())
    return told, log.notes


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


OLD = [flow(17), flow(6), flow(6, half_open=True)]


def test_open_tcp_connections_end_by_themselves_unless_they_are_to_be_cut():
    async def script(cutter, told):
        cutter.on_pass_done(written(rules("198.51.100.1"), Op.CREATE), {})
        await until(lambda: len(told) == 1)
        cutter.want(Intents((), {NatSettings: (NatSettings(established="cut"),)}))
        cutter.on_pass_done(written(rules("198.51.100.1")), {})
        await until(lambda: len(told) == 2)
        await settled()

    told, notes = played(script, OLD)
    assert told == [[OLD[0], OLD[2]], OLD]
    assert notes[0] == ("flows cut", "2 tracked connections contradicted the rules: 1 of TCP, 1 others")


def test_inside_a_window_nothing_is_cut_and_what_it_left_behind_is_cut_after():
    flows = [flow(17, to=A), flow(17, to=B)]

    async def script(cutter, told):
        cutter.on_pass_done(written(rules("198.51.100.1"), Op.CREATE), {})
        await until(lambda: len(told) == 1)
        cutter.hold()
        cutter.on_pass_done(written(rules("198.51.100.2")), {})
        await settled()
        assert len(told) == 1
        cutter.on_pass_done(written(rules("198.51.100.1")), {})  # not confirmed: as before
        cutter.release()
        await until(lambda: len(told) == 2)

    told, _ = played(script, flows)
    assert told == [[flows[1]], [flows[1]]]


def test_rules_that_went_are_remembered_and_rules_that_were_refused_are_not():
    async def script(cutter, told):
        cutter.on_pass_done(written(rules("198.51.100.1"), Op.CREATE), {})
        await until(lambda: len(told) == 1)
        cutter.on_pass_done(written(rules("198.51.100.2"), error=KernelError("nft", 1, "no")), {})
        await settled()
        cutter.on_pass_done(written(None, Op.DELETE), {})
        await until(lambda: len(told) == 2)

    flows = [flow(17, to=A), flow(17, to=B)]
    told, _ = played(script, flows)
    assert told == [[flows[1]], [flows[0]]]


def test_a_table_that_cannot_be_read_is_told_and_ends_nothing():
    async def script(cutter, told):
        for count in (1, 2):
            cutter.on_pass_done(written(rules("198.51.100.1")), {})
            await until(lambda: len(told) == count)  # noqa: B023
            await settled()

    fails = KernelError("read the tracked connections", 105, "No buffer space available")
    _, notes = played(script, fails=fails)
    assert [what for what, _ in notes][:1] == ["flows not compared"]
    assert replace(OLD[0], protocol=6) == OLD[1]


def test_rules_that_changed_while_neod_was_away_are_a_change_too(tmp_path):
    path = tmp_path / "translation.json"
    flows = [flow(17, to=A), flow(17, to=B)]

    async def first(cutter, told):
        cutter.on_pass_done(written(rules("198.51.100.1"), Op.CREATE), {})
        await until(lambda: len(told) == 1 and len(TranslationStore(StateFile(path)).load()["nat:main"]) == 1)

    async def gone(cutter, told):
        cutter.on_pass_done(written(None, Op.DELETE), {})
        await until(lambda: len(told) == 1 and not path.exists())

    assert played(first, flows, path)[0] == [[flows[1]]]
    assert played(gone, flows, path)[0] == [[flows[0]]]


def test_what_the_process_before_wrote_and_did_not_compare_is_compared(tmp_path):
    path, nothing = tmp_path / "translation.json", Report(1, 0.0, 0.0, "", Plan(), ())
    old, new = rules("198.51.100.1").ruleset, rules("198.51.100.2")
    flows = [flow(17, to=A), flow(17, to=B)]
    for kept in ((old,), (old, new.ruleset)):
        TranslationStore(StateFile(path)).save({"nat:main": kept})

        async def script(cutter, told):
            cutter.on_pass_done(nothing, {NatKey(""): new})
            cutter.on_pass_done(nothing, {NatKey(""): rules("198.51.100.3")})  # later passes tell of what they wrote
            await until(
                lambda: len(told) == 1 and TranslationStore(StateFile(path)).load() == {"nat:main": (new.ruleset,)}
            )

        assert played(script, flows, path)[0] == [[flows[0]]]

    async def same(cutter, told):
        cutter.on_pass_done(nothing, {NatKey(""): new})
        await settled()

    assert played(same, flows, path)[0] == []


def test_rules_are_kept_on_disk_as_they_are_and_what_is_unreadable_is_nothing(tmp_path):
    path = tmp_path / "translation.json"
    one, six = ip_address("192.0.2.1"), ip_address("2001:db8::1")
    every = Ruleset(
        (
            Dnat("tcp", 1, 9, six, None, "eth0", hairpin=True),
            Dnat("udp", 1, 1, one, 7),
            SnatTo("tcp", 1, 9, six),
            SnatFrom(ip_network("10.0.0.0/30"), "eth0", one),
            AnswerBy("eth1", 0x100000, 0xF00000),
            Guard(6, ("eth0",), ("eth1",), ("neo-px",)),
        )
    )
    kept = {"": (every, Ruleset()), "px": (every,)}
    TranslationStore(StateFile(path)).save(kept)
    assert TranslationStore(StateFile(path)).load() == kept
    for text in ("", "[]", '{"rules": {"": [[["Unknown", 1]]]}}', '{"rules": {"": [[["Dnat", 1]]]}}'):
        path.write_text(text)
        assert TranslationStore(StateFile(path)).load() == {}
