"""The daemon without a kernel and without root: all of it from the file to the control socket, on a dictionary.

The real file reader, engine, status table, event log, control socket and ``neodctl``
are at work. Only kernel and DHCP are doubles: the kernel is
``tests.lab.FakeKernel``, and whoever asks for a lease gets one at once.
"""

import asyncio
import contextlib
import shlex
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from tests.doubles.kernel import FakeKernel
from tests.lab.host import Answer
from tests.system.scenarios.stage import Refused, neodctl

from neod.control.errors import FileInvalid
from neod.control.feed import Feed
from neod.control.server import ControlServer
from neod.control.verbs.doctor import DoctorReply
from neod.daemon.config_store import ConfigStore
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Controller
from neod.daemon.dhcp_binding import DhcpBinding
from neod.daemon.dwellers import Dwellers
from neod.daemon.event_log import EventLog
from neod.daemon.fact_collector import FactCollector
from neod.daemon.flow_cutter import FlowCutter
from neod.daemon.forwarding_reader import ForwardingReader
from neod.daemon.mptcp_controller import MptcpController
from neod.daemon.outside import Outside
from neod.daemon.translation_store import TranslationStore
from neod.daemon.uplink_follower import UplinkFollower
from neod.kernel.clock import SystemClock
from neod.kernel.files import StateDirectory, StateFile
from neod.kinds import KINDS
from neod.kinds.link import LinkSpec
from neod.model.change import Actor
from neod.model.facts import FOREVER, DhcpClient, Host, Lease
from neod.model.key import AddressKey, Key, LinkKey
from neod.model.ports import Dweller
from neod.model.want import Fact, FactKey
from neod.observability.metrics_server import MetricsServer
from neod.reconcile.queue import HintQueue
from neod.reconcile.state import HostState

T = TypeVar("T")
NETWORK = IPv4Network("10.8.0.0/16")
WHO = Actor(4711, "ip")


class Log:
    """What neod would have written into the journal."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _write(self, event: str, **fields: Any) -> None:
        self.lines.append(" ".join([event, *(f"{name}={value}" for name, value in fields.items())]))

    debug = info = warning = error = _write


class Dhcp:
    """A DHCP client whose server answers at once, or is silent."""

    degraded = ""
    returns = SimpleNamespace(hold=lambda: None, let_go=lambda: None)  # no lease is given back here

    def __init__(self) -> None:
        self.mute, self.gateway, self.first = False, NETWORK[1], 16 * 256
        self.held: dict[str, Lease] = {}  # as on the disk: it outlives a restart
        self._waiting: dict[str, None] = {}
        self.leased: Callable[[str, Lease | None], None] = lambda link, lease: None

    def want(self, clients: Sequence[DhcpClient]) -> None:
        """Keep leases of these links only."""
        links = {client.link for client in clients}
        self.held = {link: lease for link, lease in self.held.items() if link in links}
        self._waiting = {link: None for link in self._waiting if link in links}

    def link_ready(self, link: str, mac: str, held: IPv4Address | None) -> None:
        """Lease an address."""
        self._waiting[link] = None
        self.answer()

    def status_of(self, link: str) -> Any:
        """Return the lease, where there is one."""
        return SimpleNamespace(lease=self.held[link]) if link in self.held else None

    def answer(self) -> None:
        """Serve whoever waits."""
        while self._waiting and not self.mute:
            link = next(iter(self._waiting))
            del self._waiting[link]
            number = len(self.held) if link not in self.held else list(self.held).index(link)
            self.held[link] = self._lease(link, NETWORK[self.first + number])
            self.leased(link, self.held[link])

    def renew(self) -> None:
        """Let every client ask again."""
        self._waiting = dict.fromkeys(self.held)
        self.answer()

    def _lease(self, link: str, ip: IPv4Address) -> Lease:
        return Lease(link, ip, NETWORK.prefixlen, self.gateway, self.gateway, 0.0, FOREVER, FOREVER, FOREVER)

    def link_gone(self, link: str) -> None:
        """Nothing to do: the lease holds on."""

    def carrier(self, link: str, up: bool) -> None:
        """Nothing to do."""

    def guard(self, link: str, parent: str, mac: str, ip: IPv4Address, *, leased: bool) -> None:
        """Nothing to do: there is no other host."""

    def release(self, link: str, parent: str, ip: IPv4Address) -> None:
        """Nothing to do."""

    def trouble(self, link: str, parent: str) -> str:
        """Return nothing."""
        return ""

    def status(self) -> Sequence[Any]:
        """Return no clients: there is no protocol to tell of."""
        return []


class Daemon:
    """neod on the dictionary, in a thread of its own."""

    def __init__(self, kernel: FakeKernel, dhcp: Dhcp, directory: Path, log: Log) -> None:
        self._kernel, self._dhcp, self._directory, self._log = kernel, dhcp, directory, log
        self.loop = asyncio.new_event_loop()
        self.controller: Controller | None = None
        self.failure: FileInvalid | None = None
        self.crash: BaseException | None = None
        self._ready = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="neod", daemon=True)
        self._thread.start()
        self._ready.wait(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._task = self.loop.create_task(self._serve())
        try:
            self.loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass  # it was ended
        except BaseException as error:  # for the scenario to tell
            self.crash = error
        finally:
            self._ready.set()
            self.loop.close()

    async def _serve(self) -> None:
        clock = SystemClock()
        queue, state = HintQueue(clock), HostState(self._kernel.kinds)
        self._dhcp.leased = lambda link, lease: queue.put_fact(FactKey("lease", link), lease, "lease")
        known: dict[FactKey, Fact] = {FactKey("lease", link): lease for link, lease in self._dhcp.held.items()}
        known[FactKey("host")] = Host("a scenario")
        event_log, drivers = EventLog(clock, Feed(), self._log), self._kernel.drivers()
        mptcp = MptcpController(drivers, clock, queue, event_log)
        controller = Controller(
            clock=clock,
            queue=queue,
            event_log=event_log,
            state=state,
            drivers=drivers,
            dhcp=DhcpBinding(self._dhcp),  # type: ignore[arg-type]
            mptcp=mptcp,
            facts=FactCollector(state, known, UplinkFollower(), ForwardingReader(), Unasked(), mptcp),  # type: ignore[arg-type]
            flows=FlowCutter(
                event_log,
                TranslationStore(StateFile(self._directory / "translation.json")),
                lambda netns, judge: (),
            ),
            dwellers=Dwellers(Uninhabited(), Outside(self._directory, self._directory), event_log),  # type: ignore[arg-type]
            routes=Straight(),  # type: ignore[arg-type]
        )
        file = ConfigStore(self._directory / "neo.toml", StateDirectory(self._directory), clock, controller.revert)
        metrics = MetricsServer(self.loop, lambda: "", self._log)
        control = DaemonControl(controller, file, not_examined, metrics)
        try:
            loaded = await file.read()
        except FileInvalid as error:
            self.failure = error
            return
        await controller.observe_first()
        file.use(loaded)
        controller.adopt(loaded.intents, "start")
        server = ControlServer(control, self._directory, "scenario")
        server.bind()
        self.controller = controller
        queue.hint_everything("start")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._passes(controller), name="passes")
            group.create_task(server.run(), name="control")
            async with controller.passed:
                await controller.passed.wait_for(lambda: controller.ready)
            self._ready.set()

    @staticmethod
    async def _passes(controller: Controller) -> None:
        while True:
            await controller.step()

    def ask(self, work: Callable[[], T]) -> T:
        """Run *work* on the daemon's loop, between its steps."""

        async def go() -> T:
            return work()

        coroutine: Coroutine[Any, Any, T] = go()
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def end(self) -> None:
        """End it at once."""
        if self._thread.is_alive() and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it is just ending by itself
                self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)


async def not_examined(context: object) -> DoctorReply:
    """Return no findings: there is no kernel to ask."""
    return DoctorReply(False)


class Uninhabited:
    """In the place of ``Namespaces``: nobody lives in any."""

    async def dwellers(self, names: Collection[str]) -> dict[str, tuple[Dweller, ...]]:
        """Return nobody."""
        return {}

    async def dwellers_of_older(self) -> dict[str, tuple[Dweller, ...]]:
        """Return nobody."""
        return {}


class Straight:
    """In the place of ``EffectiveRoutes``: nobody's rules stand in front of ours."""

    def want(self, intents: object) -> None:
        """Ask for nothing."""

    def condition(self, path: str) -> None:
        """Know nothing."""

    async def on_pass_done(self, hints: object, changed: object) -> None:
        """Ask nobody."""


class Unasked:
    """The part of the ports that only followed uplinks and forwards need: neither is here."""

    rtnl = sysctls = None


class OnFake:
    """A host with the NIC ens3, whose kernel is a dictionary."""

    def __init__(self, server: str = "dnsmasq") -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="neo-scenario-"))
        self._kernel = FakeKernel(KINDS.values())
        self._dhcp, self._log = Dhcp(), Log()
        self._dhcp.mute = server == "none"
        self._daemon: Daemon | None = None
        self._seen = 0

    def __enter__(self) -> "OnFake":
        self._kernel.add_foreign(LinkKey("", "ens3"), LinkSpec("", "ens3", mac="02:00:5e:10:00:05", mtu=1500))
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def variables(self) -> dict[str, str]:
        """Return where the host's file is."""
        return {"FILE": str(self._directory / "neo.toml")}

    def host(self, name: str) -> None:
        """There is one."""
        raise Refused(f"the fake has one host, and no {name}")

    def file(self, text: str) -> None:
        """Put the host's file in place."""
        (self._directory / "neo.toml").write_text(text)

    def start(self) -> None:
        """Start the daemon, and wait until it answers or has refused its file."""
        self._daemon = Daemon(self._kernel, self._dhcp, self._directory, self._log)

    def ended(self) -> tuple[int, str] | None:
        """Return what a daemon says that could not use its file, or how it broke."""
        if self._daemon is None:
            return None
        if self._daemon.crash is not None:
            return 70, "".join(traceback.format_exception(self._daemon.crash))
        failure = self._daemon.failure
        return None if failure is None else (78, "\n".join(failure.problems))

    def stop(self) -> None:
        """End the daemon; everything stays."""
        self.kill()

    def kill(self) -> None:
        """End the daemon."""
        if self._daemon is not None:
            self._daemon.end()
        self._daemon = None

    def ctl(self, *argv: str) -> Answer:
        """Run the real ``neodctl`` against the real socket."""
        return neodctl(self._directory, *argv)

    def run(self, command: str) -> str:
        """Do what ``ip`` would do, and tell the daemon as the kernel would; a few commands are known."""
        words = shlex.split(command)
        keys = list(self._touched(words[1:])) if words[:1] == ["ip"] else None
        if keys is None:
            raise Refused(f"the fake kernel knows some `ip` commands, and not: {command}")
        if self._daemon is None:
            self._change(words[1:], keys)
        else:
            self._daemon.ask(lambda: self._change(words[1:], keys))
        return ""

    def _touched(self, words: list[str]) -> Iterable[Key] | None:
        objects = list(self._kernel.objects)
        match words:
            case ["link", ("del" | "add"), name, *_]:
                return [LinkKey("", name)]
            case ["address", "flush", "dev", name]:
                return [key for key in objects if isinstance(key, AddressKey) and key.link == name]
            case ["route", "flush", "table", table]:
                return [key for key in objects if key.kind == "route" and getattr(key, "table", 0) == int(table)]
            case ["rule", "del", "from", source, *_]:
                return [key for key in objects if getattr(key, "source", None) == ip_network(source)]
        return None

    def _change(self, words: list[str], keys: Iterable[Key]) -> None:
        for key in keys:
            if words[1] == "add":
                self._kernel.add_foreign(key, LinkSpec(words[-1], words[2]))
            else:
                self._kernel.lose(key)
            if self._daemon is not None and self._daemon.controller is not None:
                gone = words[1] != "add"
                self._daemon.controller.queue.hint(key, f"{key.kind} event", WHO, deep=gone)

    def lan(self, command: str) -> str:
        """There is none."""
        raise Refused("no lan here")

    def carrier(self, up: bool) -> None:
        """There is no cable."""
        raise Refused("no carrier here")

    def dhcp(self, word: str, value: str) -> None:
        """Tell the DHCP double what to do from now on; a change is felt at once, as at a renewal."""

        def go() -> None:
            if word == "gateway":
                self._dhcp.gateway = IPv4Address(ip_address(value))
            elif word == "renumber":
                self._dhcp.first += int(value)
            elif word in ("start", "stop"):
                self._dhcp.mute = word == "stop"
                return self._dhcp.answer()
            elif word != "renew":
                raise Refused(f"`dhcp {word}`")
            return self._dhcp.renew()

        if self._daemon is None:
            go()
        else:
            self._daemon.ask(go)

    def problems(self) -> list[str]:
        """Judge nothing beyond what neod says: the laws are tested elsewhere."""
        return []

    def holds(self, whose: str) -> dict[Key, Any]:
        """Return the objects that are owned or foreign."""
        return {key: seen.spec for key, seen in self._kernel.objects.items() if seen.owned == (whose == "owned")}

    def difference(self, before: Any, after: Any) -> list[str]:
        """Return what is only in one of two such dictionaries, or other there."""
        lost = [f"- {key} {spec}" for key, spec in before.items() if after.get(key) != spec]
        return lost + [f"+ {key} {spec}" for key, spec in after.items() if before.get(key) != spec]

    def watch(self) -> None:
        """Begin to count what is written."""
        self._seen = self._kernel.writes

    def written(self) -> list[str]:
        """Return how much was written since."""
        count, self._seen = self._kernel.writes - self._seen, self._kernel.writes
        return [f"{count} objects"] if count else []

    def reaches(self, through: str) -> str:
        """There are no packets."""
        raise Refused("no packets here")

    def tail(self) -> str:
        """Return the end of the log."""
        return "\n".join(self._log.lines[-25:])
