"""What the OBJECT of a command stands for: every name and number that a command prints is understood. Pure reading."""

import difflib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from neod.control.errors import NoSuchObject
from neod.daemon.controller import Controller
from neod.daemon.describe import flat
from neod.daemon.views.causes import path_in
from neod.daemon.views.path_rows import keys_under
from neod.daemon.views.roles import namespace_keys, translation_keys
from neod.features.forwards.compile import ForwardInfo
from neod.features.namespaces.compile import NamespaceInfo
from neod.features.parts import PathInfo
from neod.features.races.compile import RaceRequest
from neod.kinds import KINDS
from neod.model.key import Key
from neod.model.nat import unmapped
from neod.model.status import SEVERITY

WORDS: Final = re.compile(r"[\s:/,()]+")
PLACE: Final = re.compile(r"^(?:line \d+ )?\[(.+)\]:?$")
MAC: Final = re.compile(r"[0-9a-f]{12}")
LENGTHS_APART, MOST_COMPARED, MOST_SIMILAR, ALIKE = 3, 2000, 3, 0.7
RANKS: Final = {name: rank for rank, name in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for; not all of it is empty."""

    keys: tuple[Key, ...] = ()  # the most telling one first: the worst that is out of sync, else what leads its path
    units: tuple[str, ...] = ()  # parts of the file that wait for a fact
    race: RaceRequest | None = None
    past: str = ""  # what is neither there nor asked for, and was


@dataclass(frozen=True, slots=True)
class Book:
    """All that can be named, by the text of its key."""

    controller: Controller
    known: dict[str, Key]

    def specs(self, key: Key) -> tuple[Any, ...]:
        """Return what is desired of *key* and what was seen of it; neither of what only waits to go."""
        state = self.controller.state
        wanted, seen = state.desired.written.get(key), state.observed.get(key)
        return (*((wanted,) if wanted is not None else ()), *((seen.spec,) if seen else ()))


def meaning_of(controller: Controller, name: str) -> Meaning:
    """Return what *name* means; the first reading that finds something counts.

    That is an object's own name; what the file calls it (a path, a namespace, a forward, a race, a table, an entry or a
    part of one); what its kind calls it, such as a number of a rule, of a table, of an endpoint, an address, a MAC, a
    dotted sysctl; what its row shows; words that stand in its name side by side; a value that it has; a word of what is
    told of it; and what is no more, and has events.

    Raises:
        NoSuchObject: it means nothing here.
    """
    state = controller.state
    written, status = state.desired.written, state.status
    book = Book(controller, {str(key): key for key in (*written, *status.out_of_sync, *state.observed)})
    spellings = tuple(_spellings(name))
    for reading in READINGS:
        for spelling in spellings:
            if (found := reading(book, spelling)) is not None:
                return found
    raise NoSuchObject(name, _similar(name, book))


def _spellings(name: str) -> Iterable[str]:
    """Return *name* without what stands around it in a text, and as the kernel writes an address or a MAC."""
    place = PLACE.match(name)
    plain = place[1] if place else name.strip().rstrip(":,")
    found = {name: None, plain: None}
    octets = re.sub(r"[-:.]", "", plain.lower())
    if MAC.fullmatch(octets):
        found[":".join(octets[at : at + 2] for at in range(0, 12, 2))] = None
    ip, slash, length = plain.strip("[]").partition("/")
    with suppress(ValueError):
        found[f"{unmapped(ip_address(ip))}{slash}{length}"] = None  # ss has mapped ones
    found[re.split(r"\s*(?:…|, )\s*", plain)[0]] = None  # of several that are told together, the first
    return filter(None, found)


# ── readings ───────────────────────────────────────────────────────────────────────────────────


def _object(book: Book, name: str) -> Meaning | None:
    """An object, or what one provides: ``table:3/ipv4``."""
    if name in book.known:
        return Meaning((book.known[name],))
    kinds = book.controller.state.kinds
    return _of(book, (key for key in book.known.values() if name in map(str, kinds[key.kind].provides(key))))


def _entry(book: Book, name: str) -> Meaning | None:
    """What the file calls by that name, by the path in the file, or a part of either."""
    controller = book.controller
    units = tuple(unit for unit in controller.waiting() if unit == name or unit.startswith(f"{name}/"))
    if units or (keys := controller.state.desired.of_entry(name)):
        return _of(book, [] if units else keys, units)
    if any(path.name == name for path in controller.intents.of(PathInfo)):
        units = tuple(unit for unit in controller.waiting() if path_in(unit) == name)
        return _of(book, (*keys_under(controller, name), *_links(book, name)), units)
    for namespace in controller.intents.of(NamespaceInfo):
        if namespace.name == name:
            return _of(book, namespace_keys(controller, name, namespace.links))
    if any(name in (forward.name, forward.origin.path) for forward in controller.intents.of(ForwardInfo)):
        return _of(book, translation_keys(controller))
    for race in controller.intents.of(RaceRequest):
        if name in (race.name, race.origin.path):
            return Meaning(race=race)
    of_link = [*_links(book, name), *keys_under(controller, name)]
    return _of(book, of_link) or _of(book, controller.state.desired.of_table_named(name))


def _links(book: Book, name: str) -> list[Key]:
    return [book.known[f"link:{name}"]] if f"link:{name}" in book.known else []


def _called(book: Book, name: str) -> Meaning | None:
    """What its kind calls it."""
    kinds = book.controller.state.kinds
    named = (key for key in book.known.values() for spec in book.specs(key) if name in kinds[key.kind].names(key, spec))
    return _of(book, named)


def _row(book: Book, name: str) -> Meaning | None:
    """What stands in the row of a forward, of a namespace, or of a race."""
    controller = book.controller
    if any(name in _of_forward(one) for one in controller.intents.of(ForwardInfo)):
        return _of(book, translation_keys(controller))
    for one in controller.intents.of(NamespaceInfo):
        if name in (one.uplink, one.subnet, *one.expose, ",".join(one.expose), *one.relay_addresses):
            return _of(book, namespace_keys(controller, one.name, one.links))
    races = (one for one in controller.intents.of(RaceRequest) if name in one.ends)
    return next((Meaning(race=one) for one in races), None)


def _of_forward(one: ForwardInfo) -> tuple[str, ...]:
    ports = (text for port in one.ports for text in (port, f"{one.protocol}/{port}", f"{one.protocol} {port}"))
    return (*ports, f"{one.protocol} {','.join(one.ports)}", ",".join(one.ports), one.to, one.to.rpartition(":")[0])


def _words(book: Book, name: str) -> Meaning | None:
    """Words that stand in a key side by side; that of a kind alone means nothing where it has several objects."""
    found = [key for text, key in book.known.items() if _in_words(name, text)]
    return None if name in KINDS and len(found) > 1 else _of(book, found)


def _in_words(name: str, text: str) -> bool:
    words, wanted = WORDS.split(text), [word for word in WORDS.split(name) if word]
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _value(book: Book, name: str) -> Meaning | None:
    """A value that an object has, or a lease: a gateway, a server."""
    now = book.controller.clock.boottime()
    shown = ((key, flat(spec, now)) for key in book.known.values() for spec in book.specs(key))
    if found := [key for key, values in shown if name in values.values() or name in _pairs(values)]:
        return _of(book, found)
    for status in book.controller.dhcp.service.status():
        lease = status.lease
        if name == status.mac or (lease and name in map(str, (lease.server, lease.gateway, *lease.dns))):
            return _entry(book, status.link)
    return None


def _pairs(values: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in values.items())


def _told(book: Book, name: str) -> Meaning | None:
    """A number or an address in the last events, or what they are about though it is no more."""
    if not any(character.isdigit() for character in name):
        return None
    feed = book.controller.event_log.feed
    if feed.of(name, 1):
        return Meaning(past=name)
    about = feed.last_about(re.compile(rf"(?<![\w.:]){re.escape(name)}(?![\w.]|:\w)"))
    if about in book.known:
        return Meaning((book.known[about],))
    return Meaning(past=about) if about else None


READINGS: Final[tuple[Callable[[Book, str], Meaning | None], ...]] = (
    _object,
    _entry,
    _called,
    _row,
    _words,
    _value,
    _told,
)


# ── order, and what is near ────────────────────────────────────────────────────────────────────


def _of(book: Book, keys: Iterable[Key], units: tuple[str, ...] = ()) -> Meaning | None:
    found = sorted(dict.fromkeys(keys), key=lambda key: _rank(book, key))
    return Meaning(tuple(found), units) if found or units else None


def _rank(book: Book, key: Key) -> tuple[object, ...]:
    """Return what orders objects of one name: trouble before what only waits for that, then what leads a path."""
    state = book.controller.state
    kind, status = state.kind_of(key), state.status.of(key)
    severity = SEVERITY[status.phase] if status else len(SEVERITY)
    follows = status is not None and any(state.status.of(need) for need in status.waits_for)
    shown = bool(kind.columns(key, state.observed.get(key)))
    leads = kind.leads_path or kind.translates
    trouble = (status is None, follows, severity)
    return (*trouble, not leads, RANKS[key.kind], key not in state.desired.written, not shown, str(key))


def _similar(name: str, book: Book) -> tuple[str, ...]:
    """Return up to three names that are nearly *name*; of thousands not all are compared, which takes long."""
    if name in KINDS:
        return tuple(text for text, key in book.known.items() if key.kind == name)[:MOST_SIMILAR]
    intents = book.controller.intents
    named = (intents.of(PathInfo), intents.of(ForwardInfo), intents.of(NamespaceInfo), intents.of(RaceRequest))
    first = [one.name for sort in named for one in sort]
    names = (*first, *(word for text in book.known for word in (text, *WORDS.split(text))))
    near = {one.lower(): one for one in reversed(names) if one and abs(len(one) - len(name)) <= LENGTHS_APART}
    nearest = difflib.get_close_matches(name.lower(), list(reversed(near))[:MOST_COMPARED], MOST_SIMILAR, ALIKE)
    return tuple(near[one] for one in nearest)


def kinds_meant(controller: Controller, name: str) -> tuple[str, ...]:
    """Return the kinds that *name*, which is none, is nearly; else those of the objects that it means; else all."""
    if near := difflib.get_close_matches(name.lower(), KINDS, MOST_SIMILAR):
        return tuple(near)
    with suppress(NoSuchObject):
        return tuple(dict.fromkeys(key.kind for key in meaning_of(controller, name).keys)) or tuple(KINDS)
    return tuple(KINDS)
