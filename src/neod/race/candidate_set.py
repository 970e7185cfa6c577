"""The candidates of a race: source addresses (of the file or the host) × upstream addresses (names resolved)."""

from collections.abc import Callable, Collection

from neod.observability.logs import Log
from neod.race.dialer import Dialer
from neod.race.forwarding_loops import Target
from neod.race.order import address_pairs
from neod.race.resolve import UpstreamName, is_address


class CandidateSet:
    """Keeps the candidates of one dialer in line with file, host and DNS.

    *changed* is called when a name resolves to other addresses; its owner
    then calls :meth:`update`.
    """

    def __init__(
        self, dialer: Dialer, log: Log, auto: Callable[[], tuple[str, ...]], changed: Callable[[], None]
    ) -> None:
        self._dialer, self._log, self._auto, self._changed = dialer, log, auto, changed
        self._names: dict[str, UpstreamName] = {}
        self._refused: frozenset[Target] = frozenset()
        self.follow_names()

    def follow_names(self) -> None:
        """Resolve the names in the current settings, and no others."""
        wanted = {upstream.host for upstream in self._dialer.settings.upstreams if not is_address(upstream.host)}
        for name in set(self._names) - wanted:
            self._names.pop(name).close()
        for name in sorted(wanted - set(self._names)):
            self._names[name] = UpstreamName(self._dialer.loop, name, self._on_name)

    def close(self) -> None:
        for name in self._names.values():
            name.close()

    def targets(self) -> tuple[Target, ...]:
        """Return every upstream address, in the order of the file."""
        found: list[Target] = []
        for upstream in self._dialer.settings.upstreams:
            name = self._names.get(upstream.host)
            hosts = (upstream.host,) if name is None else name.answer.addresses
            found += [(host, upstream.port) for host in hosts]
        return tuple(dict.fromkeys(found))

    def update(self, refused: Collection[Target] = ()) -> None:
        """Recompute the candidates, without targets in *refused*, which lead back to this race."""
        for host, port in sorted(set(refused) - self._refused):
            self._log.error("not an upstream: it leads back to this race", upstream=f"{host} port {port}")
        self._refused = frozenset(refused)
        targets = [target for target in self.targets() if target not in self._refused]
        self._dialer.set_candidates(address_pairs(self._sources(), targets))

    def _sources(self) -> tuple[str, ...] | None:
        """Return the source addresses; None: the kernel chooses, as it must in a namespace other than the host's."""
        settings = self._dialer.settings
        if settings.sources is not None:
            return settings.sources or None
        return None if settings.netns else self._auto() or None

    def _on_name(self, name: UpstreamName) -> None:
        if name.answer.problem:
            self._log.warning("cannot resolve", name=name.name, why=name.answer.problem)
        else:
            self._log.info("resolved", name=name.name, addresses=", ".join(name.answer.addresses))
        self._changed()
