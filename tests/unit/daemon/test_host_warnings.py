"""``status`` looks at the host when it can have changed, and not at each call."""

import pytest

from neod.daemon.host_warnings import RECENT_S, HostWarnings
from neod.features.intents import Intents
from neod.features.parts import NatPart
from neod.model.want import Origin


class Clock:
    def __init__(self):
        self.now = 100.0

    def boottime(self):
        return self.now


def intents():
    return Intents(values={NatPart: (NatPart((), Origin("forwards.a", 1)),)})


@pytest.fixture
def looks():
    return []


@pytest.fixture
def warnings(looks):
    def look(of):
        looks.append(of)
        return (f"look {len(looks)}",)

    clock = Clock()
    found = HostWarnings(clock, look)
    return found, clock


async def test_a_second_call_looks_at_nothing(warnings, looks):
    found, _ = warnings
    file = intents()
    assert await found.of(file, 1) == await found.of(file, 1) == ("look 1",)
    assert looks == [file]


async def test_a_pass_a_file_and_time_make_it_look_again(warnings):
    found, clock = warnings
    file = intents()
    assert await found.of(file, 1) == ("look 1",)
    assert await found.of(file, 2) == ("look 2",)
    assert await found.of(intents(), 2) == ("look 3",)
    assert await found.of(file, 2) == ("look 4",)
    clock.now += RECENT_S
    assert await found.of(file, 2) == ("look 5",)


async def test_a_file_without_translation_looks_at_nothing(warnings, looks):
    found, _ = warnings
    assert await found.of(Intents(()), 1) == ()
    assert looks == []
