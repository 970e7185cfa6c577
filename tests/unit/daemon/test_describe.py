"""Objects as text: what a reader has no use for is not shown, and every difference is."""

from dataclasses import dataclass, field

import pytest

from neod.daemon.describe import differing, flat, in_words, sides
from neod.kinds.arp import ArpSpec
from neod.kinds.link import LinkSpec
from neod.kinds.link_port import PortSpec
from neod.kinds.sysctl import SysctlSpec
from neod.model.change import Change, Op
from neod.model.facts import FOREVER
from neod.model.key import LinkKey
from neod.model.shown import AS_TIME_LEFT, IF_UNUSUAL, NEVER

KEY = LinkKey("", "ens3")


@dataclass(frozen=True)
class Spec:
    """One of each."""

    mtu: int | None = None
    up: bool = True
    whole: bool = field(default=True, metadata=IF_UNUSUAL)
    slack: int = field(default=3, metadata=NEVER)
    until: float = field(default=FOREVER, metadata=AS_TIME_LEFT)


def test_the_usual_value_and_what_is_for_drivers_are_left_out() -> None:
    assert flat(Spec(1400), 0.0) == {"mtu": "1400", "up": "yes", "until": "forever"}


def test_an_unusual_value_is_shown() -> None:
    assert flat(Spec(whole=False), 0.0)["whole"] == "no"


def test_an_instant_is_shown_as_the_time_that_is_left() -> None:
    assert flat(Spec(until=130.4), 100.0)["until"] == "30 s from now"


@pytest.mark.parametrize("usual_first", [True, False])
def test_a_change_shows_both_sides_of_what_differs(usual_first: bool) -> None:
    before, after = (Spec(), Spec(whole=False)) if usual_first else (Spec(whole=False), Spec())
    change = Change(Op.UPDATE, KEY, before, after)
    assert differing(*sides(change, 0.0)) == ("whole",)
    assert in_words(change, 0.0) == ("whole: yes → no" if usual_first else "whole: no → yes")


@pytest.mark.parametrize("spec", [ArpSpec(), PortSpec("br0"), SysctlSpec("1"), LinkSpec("veth", "v0")])
def test_a_new_object_has_no_fields_that_only_drivers_know(spec: object) -> None:
    assert not flat(spec, 0.0).keys() & {"whole", "marked", "at_least", "quiet", "needs", "carrier"}
