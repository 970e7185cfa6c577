"""What the OBJECT of a command stands for."""

import difflib

from neod.control.errors import NoSuchObject
from neod.daemon.controller import Controller
from neod.daemon.views.path_rows import path_keys
from neod.daemon.views.roles import namespace_keys, translation_keys
from neod.features.forwards.compile import ForwardInfo
from neod.features.namespaces.compile import NamespaceInfo
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.model.key import Key


def keys_of(controller: Controller, name: str) -> list[Key]:
    """Return the keys that *name* means: one key's text, or all that belong to a path, namespace or forward.

    Raises:
        NoSuchObject: it means nothing here.
    """
    state = controller.state
    known = {str(key): key for key in (*state.desired.specs, *state.status.out_of_sync, *state.observed)}
    if name in known:
        return [known[name]]
    belonging = _belonging(controller, name)
    if belonging is not None:
        return belonging
    specs = state.desired.specs.items()
    if on_it := [key for key, spec in specs if KINDS[key.kind].path(key, spec, {}) == name]:
        return on_it
    if f"link:{name}" in known:
        return [known[f"link:{name}"]]
    candidates = [*known, *(path.name for path in controller.intents.of(PathInfo))]
    raise NoSuchObject(name, tuple(difflib.get_close_matches(name, candidates, 3)))


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
