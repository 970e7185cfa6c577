"""Who lives in namespaces that were made anew, go, or lost their name: what is said, and which units are restarted."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from neod.control.feed import Feed
from neod.daemon.dwellers import Dwellers
from neod.daemon.event_log import EventLog
from neod.daemon.unit_restarts import CALM_S, LONGEST_S, TRIES, Restarts
from neod.features.intents import gather
from neod.features.namespaces.compile import NamespaceInfo
from neod.kinds.netns import NetnsSpec
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.errors import KernelError
from neod.model.key import NetnsKey
from neod.model.ports import Dweller
from neod.model.want import Origin

PROXY, HERE = NetnsKey("", "proxy"), NetnsSpec()
V2RAY, SLEEP = Dweller(812, "v2ray", "v2ray.service"), Dweller(813, "sleep")


@dataclass
class Machine:
    """The port ``Namespaces``, a service manager and a clock."""

    systemd: bool = True
    answers: list[str] = field(default_factory=list)  # of the service manager; none: fine
    current: dict = field(default_factory=dict)
    old: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    now: float = 1000.0
    looks: int = 0

    @property
    def clock(self):
        return SimpleNamespace(boottime=lambda: self.now, wall=lambda: self.now)

    def has_units(self):
        return self.systemd

    def restart_running(self, units):
        self.asked.append(units)
        return self.answers.pop(0) if self.answers else ""

    async def dwellers(self, names):
        return {name: self.current[name] for name in names if name in self.current}

    async def dwellers_of_older(self):
        self.looks += 1
        return self.old


class AtOnce(ThreadPoolExecutor):
    """Does what a thread would do when it is asked to: nothing here takes time."""

    def submit(self, work, /, *args, **more):
        done = Future()
        done.set_result(work(*args, **more))
        return done


class Host:
    def __init__(self, *units, **more):
        self.machine = Machine(**more)
        self.feed = Feed()
        log = SimpleNamespace(info=lambda *_, **__: None, debug=lambda *_, **__: None)
        self.dwellers = Dwellers(self.machine, self.machine, EventLog(self.machine.clock, self.feed, log))
        self.dwellers.want(gather([NamespaceInfo("proxy", "eth0", "10.254.0.0/30", (), (), (), Origin("x", 1), units)]))

    def told(self, op, *, repaired=True, error=None, key=PROXY):
        before, after = None if op is Op.CREATE else HERE, None if op is Op.DELETE else HERE
        outcome = Outcome(Change(op, key, before, after), error)
        self.dwellers.on_pass_done(
            Report(1, 0.0, 0.0, "test", Plan(), (outcome,)), {str(PROXY): "missing"} if repaired else {}
        )

    async def rest(self):
        """Let it do what is due."""
        asyncio.get_running_loop().set_default_executor(AtOnce())
        task = asyncio.ensure_future(self.dwellers.run())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()

    async def events(self):
        async for batch in self.feed.events(0.0, follow=False):
            return [(record.what, record.detail) for record in batch]
        return []


async def test_units_are_restarted_once_when_the_namespace_was_made_anew():
    host = Host("v2ray.service", "proxy@1.service")
    host.told(Op.CREATE)
    host.told(Op.CREATE)
    await host.rest()
    assert host.machine.asked == [("v2ray.service", "proxy@1.service")]
    assert ("units restarted", "v2ray.service proxy@1.service") in await host.events()


@pytest.mark.parametrize("op", [Op.UPDATE, Op.DELETE])
async def test_nothing_is_restarted_when_it_got_its_name_back_or_goes(op):
    host = Host("v2ray.service")
    host.told(op)
    await host.rest()
    assert host.machine.asked == []


async def test_what_the_kernel_refused_is_no_new_namespace():
    host = Host("v2ray.service")
    host.told(Op.CREATE, error=KernelError("make", 1, "no"))
    await host.rest()
    assert host.machine.asked == []


async def test_without_systemd_a_first_start_says_nothing_and_a_repair_does():
    host = Host("v2ray.service", systemd=False, answers=["systemd does not run here"])
    host.told(Op.CREATE, repaired=False)
    await host.rest()
    assert host.machine.asked == []
    assert list(host.dwellers.notes()) == []
    host.told(Op.CREATE)
    await host.rest()
    (note,) = host.dwellers.notes()
    assert note == "namespaces.proxy: on_recreate: systemd does not run here; nothing was restarted"


async def test_a_refusal_is_said_once_and_no_longer_once_it_works():
    host = Host("v2ray.service", answers=["Unit v2ray.service not found.", "Unit v2ray.service not found."])
    host.told(Op.CREATE)
    await host.rest()
    host.machine.now += 5
    await host.rest()
    assert [what for what, _ in await host.events()].count("units not restarted") == 1
    assert "not found" in next(iter(host.dwellers.notes()))
    host.machine.now += 30
    await host.rest()
    assert len(host.machine.asked) == 3
    assert list(host.dwellers.notes()) == []


async def test_programs_in_an_older_namespace_are_named_with_what_mends_it():
    host = Host(old={"proxy": (V2RAY, SLEEP)})
    host.told(Op.CREATE)
    await host.rest()
    words = (
        "2 programs (pid 812 v2ray, pid 813 sleep) live in an older namespace of this name, which leads nowhere; "
        "restart them: systemctl restart v2ray.service"
    )
    assert ("namespace made anew", words) in await host.events()
    await host.dwellers.look()
    assert host.dwellers.older("proxy") == words
    assert list(host.dwellers.notes()) == [f"namespaces.proxy: {words}"]


async def test_a_namespace_that_is_kept_or_left_says_who_lives_in_it():
    host = Host(current={"proxy": (SLEEP,)}, old={"proxy": (V2RAY,)})
    host.told(Op.UPDATE)
    host.told(Op.DELETE)
    await host.rest()
    assert await host.events() == [
        ("namespace kept", "it had lost its name, and 1 program (pid 813 sleep) lives in it"),
        (
            "namespace left",
            "1 program (pid 812 v2ray) lives in it, without a name; stop it: systemctl stop v2ray.service",
        ),
    ]


async def test_processes_are_looked_at_once_for_many_namespaces():
    host = Host()
    for number in range(9):
        host.told(Op.CREATE, key=NetnsKey("", f"n{number}"))
    await host.rest()
    assert host.machine.looks == 1


async def test_a_plan_that_takes_a_namespace_away_says_who_lives_in_it():
    host = Host(current={"proxy": (V2RAY,)})
    assert await host.dwellers.leaving(["proxy", "empty"]) == (
        "the namespace proxy goes while 1 program (pid 812 v2ray) lives in it, from then on without links; "
        "stop it before: systemctl stop v2ray.service",
    )


async def test_processes_are_looked_at_rarely_and_not_at_all_without_namespaces():
    host = Host()
    for _ in range(3):
        await host.dwellers.look()
    assert host.machine.looks == 1
    host.machine.now += 60
    await host.dwellers.look()
    assert host.machine.looks == 2
    host.dwellers.want(gather([]))
    host.machine.now += 60
    await host.dwellers.look()
    assert host.machine.looks == 2


def test_a_fight_slows_restarts_down_and_calm_ends_it():
    now, restarts, gaps = 0.0, Restarts(), []
    for _ in range(9):
        restarts = restarts.recreated(now)
        gaps.append(restarts.due_at - now)
        now = restarts.due_at
        restarts = restarts.done(now)
    assert gaps[0] == 0
    assert gaps[1:] == sorted(gaps[1:])
    assert gaps[-1] == LONGEST_S
    assert restarts.recreated(now + CALM_S).due_at == now + CALM_S


def test_a_refused_restart_is_tried_again_a_few_times():
    restarts = Restarts().recreated(0.0)
    for _ in range(TRIES - 1):
        restarts = restarts.refused(0.0)
        assert restarts.due_at > 0
    assert restarts.refused(0.0).due_at is None
