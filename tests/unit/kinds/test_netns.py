"""Whose namespace a name stands for."""

import pytest

from neod.kinds.netns import NetnsSpec, seen_as
from neod.model.change import Seen
from neod.model.ports import NetnsSeen

NAMELESS = Seen(NetnsSpec(named=False), False)
OWNED, FOREIGN = Seen(NetnsSpec(), True), Seen(NetnsSpec(ours=False), False)


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        pytest.param(None, None, id="nothing is there"),
        pytest.param(NetnsSeen(ours=True), OWNED, id="it has our mark"),
        pytest.param(
            NetnsSeen(ours=True, marked=False), Seen(NetnsSpec(marked=False), True), id="noted, and to be marked"
        ),
        pytest.param(NetnsSeen(marked=False, known=True), None, id="another took its name and is empty: made anew"),
        pytest.param(
            NetnsSeen(marked=False, known=True, inhabited=True), FOREIGN, id="another took its name and is used"
        ),
        pytest.param(NetnsSeen(older=True), NAMELESS, id="ours has lost its name, and somebody lives in it"),
        pytest.param(
            NetnsSeen(marked=False, known=True, older=True), NAMELESS, id="an empty one took the name of ours"
        ),
        pytest.param(
            NetnsSeen(marked=False, known=True, inhabited=True, older=True), FOREIGN, id="one that is used took it"
        ),
        pytest.param(NetnsSeen(marked=False), FOREIGN, id="made by somebody else"),
        pytest.param(NetnsSeen(inhabited=True), FOREIGN, id="a file of somebody else"),
    ],
)
def test_a_name_is_ours_only_if_we_made_what_it_stands_for(told, seen):
    assert seen_as(told) == seen
