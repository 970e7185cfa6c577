"""What the OBJECT of a command stands for."""

import difflib
import re
from collections.abc import Iterable
from typing import Final

from neod.control.errors import NoSuchObject
from neod.daemon.controller import Controller
from neod.daemon.views.path_rows import path_keys
from neod.daemon.views.roles import namespace_keys, translation_keys
from neod.features.forwards.compile import ForwardInfo
from neod.features.namespaces.compile import NamespaceInfo
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.model.key import Key
from neod.model.kind import path_of

WORDS: Final = re.compile(r"[\s:/,()]+")
LENGTHS_APART, MOST_COMPARED = 3, 2000


def keys_of(controller: Controller, name: str) -> list[Key]:
    """Return the keys that *name* means.

    That is one key's text; a path, namespace or forward; an entry of the file (``macvlans.neo``); or words that stand
    in keys side by side, as tables show them: a table's number, a rule's (``11003``, ``rule:11003``), an address.

    Raises:
        NoSuchObject: it means nothing here.
    """
    state = controller.state
    known = {str(key): key for key in (*state.desired.written, *state.status.out_of_sync, *state.observed)}
    if name in known:
        return [known[name]]
    if belonging := _belonging(controller, name):
        return belonging
    specs = state.desired.written.items()
    if on_it := [key for key, spec in specs if path_of(KINDS[key.kind], key, spec, {}) == name]:
        return on_it
    if f"link:{name}" in known:
        return [known[f"link:{name}"]]
    if found := state.desired.of_entry(name) or [key for text, key in known.items() if _in_words(name, text)]:
        return found
    names = [path.name for path in controller.intents.of(PathInfo)]
    raise NoSuchObject(name, _similar(name, (*names, *(word for text in known for word in (text, *WORDS.split(text))))))


def _similar(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of *names* that are nearly *name*; of thousands not all are compared, which takes long."""
    near = dict.fromkeys(one for one in names if abs(len(one) - len(name)) <= LENGTHS_APART)
    return tuple(difflib.get_close_matches(name, list(near)[:MOST_COMPARED], 3))


def _in_words(name: str, text: str) -> bool:
    """Whether the words of *name* stand side by side in *text*."""
    words, wanted = WORDS.split(text), [word for word in WORDS.split(name) if word]
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in range(len(words)))


def _belonging(controller: Controller, name: str) -> list[Key] | None:
    """Return what belongs to the entry of the file called *name*; None if there is none."""
    intents = controller.intents
    namespace = next((one for one in intents.of(NamespaceInfo) if one.name == name), None)
    if namespace is not None:
        return namespace_keys(controller, name, namespace.links)
    if any(path.name == name for path in intents.of(PathInfo)):
        return path_keys(controller)[name]
    if any(forward.name == name for forward in intents.of(ForwardInfo)):
        return translation_keys(controller)
    return None
