"""The families of kernel objects that neo keeps, a module each. To add one, see docs/architecture.md.

No kind knows another. A module beside one, of what is too much for it, begins with the same word: ``route_hops``.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from neod.model.kind import Entry, Kind

NAMES: Final = (
    "netns",
    "link",
    "link_port",
    "arp",
    "address",
    "route",
    "rule",
    "sysctl",
    "mptcp",
    "nat",
)
"""The modules, in the order in which kinds are read: links before what names them by index."""

REGISTRY: Final[tuple[Entry, ...]] = tuple(
    entry for name in NAMES for entry in import_module(f"{__name__}.{name}").ENTRIES
)
KINDS: Final[Mapping[str, Kind[Any, Any]]] = {entry.kind.name: entry.kind for entry in REGISTRY}
"""The kinds by name."""
