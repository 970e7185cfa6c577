"""No request, however made, raises anything but Dropped and errors of Varlink; what is a call comes through."""

import json

import pytest
from asyncvarlink import VarlinkErrorReply
from hypothesis import given
from hypothesis import strategies as st

from neod.control.connection import envelope, parse
from neod.control.stream import Dropped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def outcome(frame):
    try:
        return parse(envelope(frame))
    except (Dropped, VarlinkErrorReply):
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_call_or_dropped(frame):
    outcome(frame)


@pytest.mark.slow
@given(JSON)
def test_any_json_is_a_call_or_dropped(value):
    outcome(json.dumps(value).encode())


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "method": JSON | st.just("org.neo.Control1.Status"),
            "parameters": JSON,
            "more": JSON,
            "oneway": JSON,
            "upgrade": JSON,
        },
    )
)
def test_any_field_may_be_anything(value):
    call = outcome(json.dumps(value).encode())
    if call is not None:
        assert isinstance(call.parameters, dict)
        assert not call.upgrade


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
def test_depth_is_refused_before_it_is_parsed(depth):
    with pytest.raises(Dropped, match="deeply"):
        envelope(b"[" * depth + b"]" * depth)


def test_a_call_comes_through():
    call = parse(envelope(b'{"method":"org.neo.Control1.Show","parameters":{"which":"desired"}}'))
    assert (call.method_name, call.parameters) == ("Show", {"which": "desired"})
