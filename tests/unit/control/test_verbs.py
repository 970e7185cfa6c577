"""What is derived from the declarations of the verbs is what a client of any version relies on."""

from inspect import cleandoc
from pathlib import Path

import pytest

from neod.control.service import ControlService
from neod.control.varlink import VERBS, VarlinkAdapter
from neod.control.verb import Instant, Right, Seconds, Text, Verb, verb, verb_of, verbs_of
from neod.control.verbs.mode import ModeReply, ModeVerbs
from neod.daemon.control import DaemonControl

GOLDEN = Path(__file__).parent / "golden/org.neo.Control1.varlink"


def test_the_interface_is_byte_for_byte_that_of_0_1_0() -> None:
    """Verbs and fields may be added; then the golden file grows with them."""
    assert VarlinkAdapter.render_interface_description() == GOLDEN.read_text()


def test_a_method_of_a_protocol_is_the_whole_declaration() -> None:
    class Sample:
        @verb(Right.READ, write_if="since", ends_with_caller=True)
        async def look_twice(self, at: Text, since: Instant | None = None, span_s: Seconds = 3.0) -> ModeReply:
            """In one sentence.

            And more.
            """
            raise NotImplementedError

    (declared,) = verbs_of(Sample)
    assert declared is verb_of(Sample.look_twice)
    assert (declared.name, declared.method, declared.about) == ("LookTwice", "look_twice", "In one sentence.")
    assert (declared.reply, declared.streams, declared.ends_with_caller) == (ModeReply, False, True)
    facts = [(each.name, each.type, each.required, each.default) for each in declared.parameters]
    assert facts == [("at", str, True, None), ("since", float | None, False, None), ("span_s", float, False, 3.0)]
    for values, sound in ((("", float("nan"), -1.0), False), (("a", 1.0, 0.0), True)):
        assert all(each.sound(value) is sound for each, value in zip(declared.parameters, values, strict=True))
    assert declared.named(("a",), {"span_s": 1.0}) == {"at": "a", "span_s": 1.0}
    assert declared.right_for({"at": "a"}) is Right.READ
    assert declared.right_for({"at": "a", "since": 1.0}) is Right.WRITE


def test_what_is_not_declared_is_no_verb() -> None:
    with pytest.raises(KeyError):
        verb_of(DaemonControl.wait)
    assert verb_of(ModeVerbs.wait).name == "Wait"


@pytest.mark.parametrize("declared", verbs_of(ControlService), ids=lambda declared: declared.name)
def test_the_daemon_implements_every_verb_and_says_the_same_of_it(declared: Verb) -> None:
    assert VERBS[declared.name] is declared
    assert cleandoc(getattr(DaemonControl, declared.method).__doc__ or "")
    assert declared.about.endswith(".")
    assert not declared.write_if or declared.write_if in {each.name for each in declared.parameters}
    if declared.streams:
        declared.reply()  # the last reply is an empty one
