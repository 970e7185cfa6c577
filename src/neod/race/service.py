"""All races of one process: started, reloaded, counted and ended together."""

from collections.abc import Callable, Iterable
from typing import Final

from neod.netlink.netns import NetnsEntry
from neod.observability.logs import Log
from neod.observability.metrics_server import MetricsServer
from neod.race.circles import circular
from neod.race.contest import Contest
from neod.race.limits import Descriptors
from neod.race.loop import Loop
from neod.race.metrics import Gauges, Stats, exposition
from neod.race.pipes import PipePool
from neod.race.settings import RaceConfig, RaceSettings
from neod.race.sources import AutoSources
from neod.race.splice import Scratch
from neod.race.story import Story

PIPES_SHARE: Final = 8
"""Pipes may use one in four descriptors (each has two)."""

DRAIN_S: Final = 5.0
"""How long a stop waits for open connections to end by themselves. systemd's own patience is longer."""

LOOK_S: Final = 0.05


class Service:
    """The races of a file, as far as *names* asks for them; all of them if it is empty."""

    def __init__(self, loop: Loop, log: Log, descriptors: int, runtime_dir: str, names: Iterable[str] = ()) -> None:
        self.loop, self.story = loop, Story(loop, log)
        self.descriptors = Descriptors(descriptors)
        self.scratch = Scratch(PipePool(descriptors // PIPES_SHARE))
        self.contests: dict[str, Contest] = {}
        self._log, self._runtime_dir, self._names = log, runtime_dir, frozenset(names)
        self._leaving: list[Contest] = []
        self._netns: dict[str, NetnsEntry] = {}
        self._auto: AutoSources | None = None
        self._paths: tuple[str, ...] = ()
        self._metrics = MetricsServer(loop, self.page, log)
        self._retargeting = False
        self._deadline_s: float | None = None

    def apply(self, config: RaceConfig) -> None:
        """Make the races of *config* those that are on; connections of others go on until they end."""
        if self._deadline_s is not None:
            return  # stopping
        wanted = {race.name: race for race in config.races if not self._names or race.name in self._names}
        self._follow_sources(config.paths, wanted.values())
        for name in [name for name in self.contests if name not in wanted]:
            contest = self.contests.pop(name)
            contest.retire()
            self._leaving.append(contest)
            self._log.info("race removed", race=name, open=len(contest.entrance.connections))
        for name, settings in sorted(wanted.items()):
            if name not in self.contests:
                self.contests[name] = Contest(self, settings)
            elif self.contests[name].settings != settings:
                self.contests[name].apply(settings)
                self._log.info("race changed", race=name)
        for contest in self.contests.values():
            contest.listen()
        self._metrics.serve_at(beside(config.metrics_listen))
        self._retarget()

    @property
    def connections(self) -> int:
        """How many are open, races and removed races included."""
        return sum(len(c.entrance.connections) for c in (*self.contests.values(), *self._leaving))

    def status(self) -> str:
        """Return one line for ``systemctl status``."""
        broken = [f"{name}: {c.error}" for name, c in sorted(self.contests.items()) if c.error]
        broken += [f"metrics: {self._metrics.error}"] if self._metrics.error else []
        return "; ".join((f"{len(self.contests)} races, {self.connections} connections", *broken))

    def stop(self, stopped: Callable[[], None]) -> None:
        """Let nothing more in, and call *stopped* when all connections have ended; the second call resets them."""
        now_s = self.loop.now_s
        if self._deadline_s is None:
            self._deadline_s = now_s + DRAIN_S
            for contest in self.contests.values():
                contest.retire()
        elif self._deadline_s > now_s:
            self._deadline_s = now_s
        self._drain(stopped)

    def _drain(self, stopped: Callable[[], None]) -> None:
        contests = [*self.contests.values(), *self._leaving]
        if self._deadline_s is not None and self.loop.now_s >= self._deadline_s:
            for contest in contests:
                for connection in list(contest.entrance.connections):
                    connection.abort("stopped")
        if self.connections:
            self.loop.call_later(LOOK_S, lambda: self._drain(stopped))
        else:
            stopped()

    # ── what the races share ────────────────────────────────────────────────────────────────────

    def sources(self) -> tuple[str, ...]:
        """Return the usable addresses of the host's paths; empty: it has none, or none is usable now."""
        return self._auto.addresses if self._auto is not None else ()

    def in_netns(self, name: str) -> NetnsEntry:
        """Return the way into a namespace."""
        if name not in self._netns:
            self._netns[name] = NetnsEntry(name)
        return self._netns[name]

    def retarget(self) -> None:
        """Look at all candidates again, in the next turn: several reasons are one look."""
        if not self._retargeting:
            self._retargeting = True
            self.loop.call_soon(self._retarget)

    def _retarget(self) -> None:
        self._retargeting = False
        local = {address.ip for address in self._auto.local} if self._auto is not None else set()
        circles = circular({name: contest.node() for name, contest in self.contests.items()}, local)
        for name, contest in self.contests.items():
            contest.enter(circles[name])
        self._leaving = [contest for contest in self._leaving if contest.entrance.connections]

    def _follow_sources(self, paths: tuple[str, ...], races: Iterable[RaceSettings]) -> None:
        """Follow the host's addresses: for ``auto``, and to know an upstream that is this host itself."""
        if not list(races):
            return
        if self._auto is not None and self._paths == paths:
            return
        if self._auto is not None:
            self._auto.close()
        self._paths = paths
        self._auto = AutoSources(self.loop, self._runtime_dir, paths, self._on_sources)
        self._tell_sources()

    def _on_sources(self) -> None:
        self._tell_sources()
        self.retarget()

    def _tell_sources(self) -> None:
        if self._paths:
            self._log.info("sources", addresses=", ".join(self.sources()) or "left to the kernel")

    def page(self) -> str:
        """Return what Prometheus reads."""
        shown: dict[str, tuple[Stats, Gauges]] = {}
        for name, contest in self.contests.items():
            shown[name] = (contest.stats, contest.entrance.gauges())
        return exposition(shown)


def beside(listen: str) -> str:
    """Return the ADDRESS:PORT next to neod's own page; any free port where neod takes any."""
    if not listen:
        return ""
    host, _, port = listen.rpartition(":")
    return f"{host}:{(int(port) + 1) % (1 << 16) if int(port) else 0}"
