"""The example files of the three roles are right, and do what their names say."""

from pathlib import Path

import pytest

from neod.config.load import load
from neod.features.forwards.compile import ForwardInfo
from neod.features.intents import Intents
from neod.features.namespaces.compile import NamespaceInfo
from neod.features.parts import PathInfo
from neod.features.races.compile import RaceRequest

EXAMPLES = Path(__file__).resolve().parents[3] / "etc/examples"
ROLE = {
    "campus": lambda intents: len(intents.of(PathInfo)) == 9 and intents.of(RaceRequest),
    "relay": lambda intents: intents.of(ForwardInfo) and not intents.of(PathInfo),
    "proxy": lambda intents: intents.of(NamespaceInfo) and not intents.of(PathInfo),
}


def test_there_is_one_for_each_role() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(ROLE)


@pytest.mark.parametrize("role", ROLE)
def test_an_example_is_valid_and_plays_its_role(role: str) -> None:
    intents: Intents = load(EXAMPLES / f"{role}.toml", {})
    assert ROLE[role](intents)
    assert intents.warnings == ()
    assert (EXAMPLES / f"{role}.toml").read_text().startswith("#:schema ./neo.schema.json\n")
