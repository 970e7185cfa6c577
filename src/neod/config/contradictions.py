"""What the file says of one object twice, and differently. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from neod.model.facts import Host
from neod.model.key import Key
from neod.model.want import FactKey, Facts, Fragment, Want

ANY_HOST: Final[Facts] = {FactKey("host"): Host(machine_id="any")}


def contradictions(fragments: Iterable[Fragment]) -> Iterator[tuple[Want, Want]]:
    """Yield two wants with one key and different specs, for each key where the file alone leads to that."""
    first: dict[Key, Want] = {}
    reported: set[Key] = set()
    for fragment in fragments:
        for want in fragment.compile(ANY_HOST):
            other = first.setdefault(want.key, want)
            if other.spec != want.spec and want.key not in reported:
                reported.add(want.key)
                yield other, want
