"""One folder a table of the file: ``features/NAME`` is all that neo knows of ``[NAME]``.

To add a table, say ``[neighbours.NAME]``, add its folder and its name below. Error texts, JSON Schema, the man page,
docs/file.md and the names of environment variables are made of what the folder says. It has two modules:

``compile.py`` is pure and never imports pydantic, for the daemon loads it: the table's fragments of desired state
(``model.want.Fragment``: facts to wants), and the other values, frozen dataclasses, that the program reads with
``Intents.of(TYPE)``. Two fragments that want one key with equal specs share it; with different specs the file is
refused.

``schema.py`` is loaded only by the process that reads the file:

1. A ``Section`` for what may stand in the table. Each key is a ``toml_key`` of ``validation.fields``: its default, one
   ``Validator``, examples, what it is for, and, with ``idle``, why it has no effect where it has none. A section too
   long for it stands in ``sections.py`` beside it.
2. ``contribute(section, context)``, optional, which yields the fragments and values that
   the table asks for. An error that no single value shows is reported with
   ``context.problem(path, problem, hint)`` and does not stop it, so that all
   errors come out at once.
3. ``TABLE``, the registry entry.

Tables know each other by what they contribute alone, never by import:

* what may be had once (a name, a table number, an address): ``context.claim``
  reports the second claim, whichever table made the first;
* what follows from all tables together: ``Table.finalize``, which sees every
  contribution and may yield more. ``parts`` holds the types of values that
  several tables contribute;
* what another table's section says: ``context.sections``, where an invalid
  entry and an absent table are missing, so that nothing follows from that.

Nothing may depend on the order of tables in the file: go through entries by name; ``context`` sorts what people read.
Shared by several features: ``path``, ``mac``, ``forwarding``, ``parts``, ``intents``, ``table``, ``validation``.
"""

from typing import Final

NAMES: Final = (
    "uplinks",
    "links",
    "macvlans",
    "forwards",
    "namespaces",
    "nat",
    "mptcp",
    "races",
    "sysctl",
    "daemon",
    "metrics",
)
"""The tables. No module of a feature is imported here: ``config.root`` loads the schemas."""
