"""The tables of the file, one module each; this registry is the only place that knows them all.

To add a table, say ``[namespaces.proxy]``:

1. ``intents/namespace.py``: its units, frozen dataclasses without pydantic
   (see ``intents/unit.py``). Two units that want the same key with equal
   specs share it; with different specs the file is refused.
2. ``tables/namespaces.py``: a ``Section`` for what stands in the table. Each
   key has a type, a check of ``fields``, a description, and an example: error
   texts, JSON Schema and documentation are all made of these. Then a function
   ``intents(section, context) -> Intents`` that returns the table's part of
   the whole, and ``TABLE`` itself.
3. One line in the registry below, and its import.

The tests hold a table to that: ``sample.toml`` uses every key, ``errors.txt``
has its errors word for word, and every example of a key has to be right.
People see it commented out in ``etc/neo.toml``.

Errors that a single value does not show are found in ``intents``:
``context.problem(path, wrong, right)`` notes one and goes on, so that all
come out at once. Checks across tables come in three forms:

* what may be had once (a name, a table, an address): ``context.claim``;
  whoever else claims it is told, whichever table that was;
* what another table says: ``context.sections``, where an invalid entry and
  an absent table are missing, so that nothing may be concluded from that;
* what follows from all tables together: ``Table.whole``, which sees the
  merged ``Intents`` and may add units, problems and warnings.

A field that a new table needs in ``Intents`` is a tuple with an empty
default: the parts of all tables are concatenated, field by field. Of
``DaemonSettings``, a part counts where it differs from the default.

Nothing may depend on the order of tables in the file: go through entries by
name, and let ``context`` do the ordering of what people read.
"""

from typing import Final

from neod.features.daemon.schema import TABLE as DAEMON
from neod.features.forwards.schema import TABLE as FORWARDS
from neod.features.links.schema import TABLE as LINKS
from neod.features.macvlans.schema import TABLE as MACVLANS
from neod.features.metrics.schema import TABLE as METRICS
from neod.features.mptcp.schema import TABLE as MPTCP
from neod.features.namespaces.schema import TABLE as NAMESPACES
from neod.features.nat.schema import TABLE as NAT
from neod.features.races.schema import TABLE as RACES
from neod.features.sysctl.schema import TABLE as SYSCTL
from neod.features.table import Table
from neod.features.uplinks.schema import TABLE as UPLINKS

REGISTRY: Final[tuple[Table, ...]] = (
    UPLINKS,
    LINKS,
    MACVLANS,
    FORWARDS,
    NAMESPACES,
    NAT,
    MPTCP,
    RACES,
    SYSCTL,
    DAEMON,
    METRICS,
)
