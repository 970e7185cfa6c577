"""All races of one process: start, reload, metrics and stop."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from neod.netlink.netns import NetnsEntry
from neod.observability.logs import Log
from neod.observability.metrics_server import MetricsServer
from neod.race import addresses
from neod.race.byte_flow import SharedBuffers
from neod.race.forwarding_loops import RaceNode, looping_targets
from neod.race.limits import DescriptorBudget
from neod.race.loop import Loop
from neod.race.metrics import RaceGauges, RaceStats, exposition
from neod.race.pipes import PipePool
from neod.race.race_log import RaceLog
from neod.race.runner import RaceRunner
from neod.race.settings import RaceConfig, RaceSettings
from neod.race.sources import AutoSources

PIPES_SHARE: Final = 8
"""Pipes may use one in four descriptors (each has two)."""

DRAIN_S: Final = 5.0
"""How long a stop waits for open connections to end by themselves. systemd's own time-out is longer."""

DRAIN_POLL_S: Final = 0.05


class RaceService:
    """The races of a file that are in *names*; all of them if it is empty. It is the ``RaceContext`` of each."""

    def __init__(self, loop: Loop, log: Log, descriptors: int, runtime_dir: str, names: Iterable[str] = ()) -> None:
        self.loop, self.race_log = loop, RaceLog(loop, log)
        self.descriptors = DescriptorBudget(descriptors)
        self.scratch = SharedBuffers(PipePool(descriptors // PIPES_SHARE))
        self.runners: dict[str, RaceRunner] = {}
        self._log, self._runtime_dir, self._names = log, runtime_dir, frozenset(names)
        self._draining_runners: list[RaceRunner] = []
        self._netns: dict[str, NetnsEntry] = {}
        self._auto: AutoSources | None = None
        self._paths: tuple[str, ...] = ()
        self._metrics = MetricsServer(loop, self.page, log)
        self._update_scheduled = False
        self._deadline_s: float | None = None

    def apply(self, config: RaceConfig) -> None:
        """Run the races of *config*; open connections of removed races go on until they end."""
        if self._deadline_s is not None:
            return  # stopping
        wanted = {race.name: race for race in config.races if not self._names or race.name in self._names}
        self._follow_sources(config.paths, wanted.values())
        for name in [name for name in self.runners if name not in wanted]:
            runner = self.runners.pop(name)
            runner.stop_accepting()
            self._draining_runners.append(runner)
            self._log.info("race removed", race=name, open=len(runner.acceptor.connections))
        for name, settings in sorted(wanted.items()):
            if name not in self.runners:
                self.runners[name] = RaceRunner(self, settings)
            elif self.runners[name].settings != settings:
                self.runners[name].apply(settings)
                self._log.info("race changed", race=name)
        for runner in self.runners.values():
            runner.listen()
        self._metrics.serve_at(beside(config.metrics_listen))
        self._update_candidates()

    @property
    def connections(self) -> int:
        """How many are open, including undecided ones and those of removed races."""
        return sum(len(c.acceptor.connections) for c in (*self.runners.values(), *self._draining_runners))

    def status(self) -> str:
        """Return one line for ``systemctl status``."""
        broken = [f"{name}: {c.error}" for name, c in sorted(self.runners.items()) if c.error]
        broken += [f"metrics: {self._metrics.error}"] if self._metrics.error else []
        races = f"{len(self.runners)} races" if self.runners else "no races in the file"
        return "; ".join((f"{races}, {self.connections} connections", *broken))

    def stop(self, stopped: Callable[[], None]) -> None:
        """Stop accepting, and call *stopped* when all connections have ended; a second call resets them."""
        now_s = self.loop.now_s
        if self._deadline_s is None:
            self._deadline_s = now_s + DRAIN_S
            for runner in self.runners.values():
                runner.stop_accepting()
                for connection in [c for c in runner.acceptor.connections if not c.dialed]:
                    connection.abort("stopped")  # its client has said nothing that could be lost
        elif self._deadline_s > now_s:
            self._deadline_s = now_s
        self._drain(stopped)

    def _drain(self, stopped: Callable[[], None]) -> None:
        runners = [*self.runners.values(), *self._draining_runners]
        if self._deadline_s is not None and self.loop.now_s >= self._deadline_s:
            for runner in runners:
                for connection in list(runner.acceptor.connections):
                    connection.abort("stopped")
        if self.connections:
            self.loop.call_later(DRAIN_POLL_S, lambda: self._drain(stopped))
        else:
            stopped()

    def sources(self) -> tuple[str, ...]:
        """Return the usable addresses of the host's paths; empty: it has none, or none is usable now."""
        return self._auto.addresses if self._auto is not None else ()

    def netns_entry(self, name: str) -> NetnsEntry:
        if name not in self._netns:
            self._netns[name] = NetnsEntry(name)
        return self._netns[name]

    def schedule_update(self) -> None:
        """Recompute all candidates after this turn; several calls are one update."""
        if not self._update_scheduled:
            self._update_scheduled = True
            self.loop.call_soon(self._update_candidates)

    def _update_candidates(self) -> None:
        self._update_scheduled = False
        nodes = {name: runner.node() for name, runner in self.runners.items()}
        refused = looping_targets(nodes, self._local(nodes.values()))
        for name, runner in self.runners.items():
            runner.update_candidates(refused[name])
        self._draining_runners = [runner for runner in self._draining_runners if runner.acceptor.connections]

    def _local(self, nodes: Collection[RaceNode]) -> dict[str, set[str]]:
        """Return the addresses of each namespace in which one race may reach another: of ours they are followed."""
        found = {"": {address.ip for address in self._auto.local} if self._auto is not None else set()}
        for netns in {node.netns for node in nodes} & {node.listen_netns for node in nodes} - {""}:
            try:
                found[netns] = {address.ip for address in self.netns_entry(netns).inside(addresses.read)}
            except OSError:  # it is not there, or not for us; then nothing listens there either
                continue
        return found

    def _follow_sources(self, paths: tuple[str, ...], races: Iterable[RaceSettings]) -> None:
        """Follow the host's addresses: for ``auto``, and to recognise an upstream that is this host."""
        if not list(races):
            return
        if self._auto is not None and self._paths == paths:
            return
        if self._auto is not None:
            self._auto.close()
        self._paths = paths
        self._auto = AutoSources(self.loop, self._runtime_dir, paths, self._on_sources)
        self._log_sources()

    def _on_sources(self, usable: bool) -> None:
        """Use other sources, and addresses that have come: a race may wait for one to listen on."""
        if usable:
            self._log_sources()
        for runner in self.runners.values():
            runner.listen()
        self.schedule_update()

    def _log_sources(self) -> None:
        if self._paths:
            self._log.info("sources", addresses=", ".join(self.sources()) or "left to the kernel")

    def page(self) -> str:
        shown: dict[str, tuple[RaceStats, RaceGauges]] = {}
        for name, runner in self.runners.items():
            shown[name] = (runner.stats, runner.acceptor.gauges())
        return exposition(shown)


def beside(listen: str) -> str:
    """Return the ADDRESS:PORT next to neod's own page; any free port where neod takes any."""
    if not listen:
        return ""
    host, _, port = listen.rpartition(":")
    return f"{host}:{(int(port) + 1) % (1 << 16) if int(port) else 0}"
