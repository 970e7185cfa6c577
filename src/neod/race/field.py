"""Who may take part in a race: the sources of the file or of the host, times the upstreams and what they resolve to."""

from collections.abc import Callable, Collection

from neod.observability.logs import Log
from neod.race.circles import Target
from neod.race.dial import Dialer
from neod.race.order import candidates
from neod.race.resolve import Name, is_address


class Field:
    """Keeps the candidates of one dialer at what file, host and DNS say.

    *changed* is called when names have changed; whoever owns the field then
    calls :meth:`enter`.
    """

    def __init__(
        self, dialer: Dialer, log: Log, auto: Callable[[], tuple[str, ...]], changed: Callable[[], None]
    ) -> None:
        self._dialer, self._log, self._auto, self._changed = dialer, log, auto, changed
        self._names: dict[str, Name] = {}
        self._refused: frozenset[Target] = frozenset()
        self.follow()

    def follow(self) -> None:
        """Resolve the names that the settings have now, and no others."""
        wanted = {upstream.host for upstream in self._dialer.settings.upstreams if not is_address(upstream.host)}
        for name in set(self._names) - wanted:
            self._names.pop(name).close()
        for name in sorted(wanted - set(self._names)):
            self._names[name] = Name(self._dialer.loop, name, self._on_name)

    def close(self) -> None:
        """Resolve nothing more."""
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

    def enter(self, refused: Collection[Target] = ()) -> None:
        """Race between all candidates but those whose target is *refused*, because it leads back to the race."""
        for host, port in sorted(set(refused) - self._refused):
            self._log.error("not an upstream: it leads back to this race", upstream=f"{host} port {port}")
        self._refused = frozenset(refused)
        targets = [target for target in self.targets() if target not in self._refused]
        self._dialer.enter(candidates(self._sources(), targets))

    def _sources(self) -> tuple[str, ...] | None:
        """Return where to start from; None: the kernel chooses, as it must in a namespace that is not the host's."""
        settings = self._dialer.settings
        if settings.sources is not None:
            return settings.sources or None
        return None if settings.netns else self._auto() or None

    def _on_name(self, name: Name) -> None:
        if name.answer.problem:
            self._log.warning("cannot resolve", name=name.name, why=name.answer.problem)
        else:
            self._log.info("resolved", name=name.name, addresses=", ".join(name.answer.addresses))
        self._changed()
