"""From messages of the kernel to hints. A message is never taken as the state: it only says where to look."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from neod.daemon.dhcp_binding import DhcpBinding
from neod.kinds import REGISTRY
from neod.model.change import Actor
from neod.model.key import Key
from neod.model.kind import Kind, Mention, Source
from neod.model.ports import Rtnl
from neod.reconcile.queue import HintQueue
from neod.reconcile.state import HostState

AnyKind = Kind[Any, Any]


class FactReader(Protocol):
    """Reads what facts are made of, when something moved that they depend on."""

    def concerns(self, key: Key) -> bool:
        """Whether an object is part of that."""
        ...

    def invalidate(self) -> None:
        """Read again at the next refresh."""
        ...


class EventListener:
    """Takes the messages of every open namespace. Which kind reads a message, and how, the registry says."""

    def __init__(
        self, state: HostState, queue: HintQueue, readers: Sequence[FactReader], dhcp_binding: DhcpBinding
    ) -> None:
        self._state, self._queue, self._readers, self._dhcp_binding = state, queue, readers, dhcp_binding
        self._by_message: defaultdict[int, list[AnyKind]] = defaultdict(list)
        self._by_source: defaultdict[Source | None, list[AnyKind]] = defaultdict(list)
        for entry in REGISTRY:
            self._by_source[entry.kind.source].append(entry.kind)
            for type_ in entry.kind.messages:
                self._by_message[type_].append(entry.kind)

    def on_message(self, netns: str, rtnl: Rtnl, type_: int, payload: memoryview, actor: Actor | None) -> None:
        """Turn one message of rtnetlink into hints."""
        for kind in self._by_message.get(type_, ()):
            self._read(kind, netns, rtnl, type_, payload, actor)

    def _read(
        self, kind: AnyKind, netns: str, rtnl: Rtnl, type_: int, payload: memoryview, actor: Actor | None
    ) -> None:
        news = kind.link_of_event(type_, payload)
        if news and not netns:
            self._dhcp_binding.carrier(news.name, news.carrier)
        mentions = kind.keys_of_event(netns, type_, payload, rtnl.name_of)
        if any(self._is_known(kind, mention) for mention in mentions):
            return
        if not netns and kind.steers(type_, payload):
            self._queue.hint_rerouted(f"{kind.name} event", actor)
        for mention in mentions:
            self._hint(kind, mention, actor, gone=mention.owned and type_ in kind.deletions)
        if news and news.moved and any(mention.owned for mention in mentions):
            rtnl.note_moved(rtnl.name_of(news.index) or news.name)
        if news:
            rtnl.learn(news.index, None if news.gone else news.name)

    def on_change(self, source: Source, netns: str, actor: Actor | None) -> None:
        """Turn a message that names no object into hints: at what is ours of a kind, and at what is new."""
        for kind in self._by_source[source]:
            place, cause = (netns, kind.name), f"{source} event"
            self._queue.hint_kind(place, cause)
            for key in self._state.relevant_keys(place):
                self._queue.hint(key, cause, actor)

    def _hint(self, kind: AnyKind, mention: Mention, actor: Actor | None, *, gone: bool) -> None:
        key, desired, cause = mention.key, self._state.desired, f"{kind.name} event"
        readers = [reader for reader in self._readers if reader.concerns(key)]
        for reader in readers:
            reader.invalidate()
        followed = bool(readers)
        watched = key in desired.specs or key in self._state.observed or desired.is_required(key)
        if mention.owned or watched or (followed and kind.reads_foreign):
            for lost in mention.deep:
                self._queue.hint(lost, cause, actor, deep=True)
            self._queue.hint(key, cause, actor, gone=gone)
        elif followed:
            self._queue.hint_facts(cause)

    def _is_known(self, kind: AnyKind, mention: Mention) -> bool:
        """Whether a message shows an object as it was read, or as it is being made by the pass under way."""
        if mention.shows is None:
            return False
        seen = self._state.observed.get(mention.key)
        if seen is None:
            in_the_making = mention.first and mention.shows.owned and mention.key in self._state.desired.specs
            return self._queue.in_progress and (in_the_making or self._is_as_desired(kind, mention))
        return mention.same and (seen == mention.shows or (seen.owned and self._is_as_desired(kind, mention)))

    def _is_as_desired(self, kind: AnyKind, mention: Mention) -> bool:
        """Whether an object of ours is as desired; what was noted when it was made has less detail."""
        shows, want = mention.shows, self._state.desired.specs.get(mention.key)
        return shows is not None and shows.owned and want is not None and kind.matches(shows.spec, want)
