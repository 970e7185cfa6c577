"""Whose namespace a name stands for."""

import pytest

from neod.kinds.netns import NetnsSpec, seen_as
from neod.model.change import Seen
from neod.model.ports import NetnsSeen

OURS, OTHER = (4, 100), (4, 200)
OWNED, FOREIGN = Seen(NetnsSpec(), True), Seen(NetnsSpec(ours=False), False)


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        pytest.param(None, None, id="nothing is there"),
        pytest.param(NetnsSeen(OURS, OURS), OWNED, id="the one we made"),
        pytest.param(NetnsSeen(OTHER, OURS), None, id="another took its name and is empty: made anew"),
        pytest.param(NetnsSeen(OTHER, OURS, inhabited=True), FOREIGN, id="another took its name and is used"),
        pytest.param(NetnsSeen(OTHER, None), FOREIGN, id="made by somebody else"),
        pytest.param(NetnsSeen(OTHER, None, inhabited=True), FOREIGN, id="made and used by somebody else"),
        pytest.param(NetnsSeen(None, None), None, id="an empty file: made anew"),
        pytest.param(NetnsSeen(None, OURS), None, id="an empty file where ours was: made anew"),
        pytest.param(NetnsSeen(None, None, inhabited=True), FOREIGN, id="a file of somebody else"),
    ],
)
def test_a_name_is_ours_only_if_we_made_what_it_stands_for(told, seen):
    assert seen_as(told) == seen
