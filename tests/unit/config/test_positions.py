"""Every key and value that the parser finds, the scanner finds where it stands."""

import tomllib
from tomllib._parser import parse_key_part, parse_value

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neod.config.positions import MAX_DEPTH, MAX_ENTRIES, MAX_PARTS, Unsafe, scan

pytestmark = pytest.mark.slow

NAMES = st.sampled_from(["a", "b-c", "_1", "42", '"q.x"', "'l t'", '"\\u00e9"', '""', '"a\\"b"'])
NUMBERS = ["1", "-7", "0x1F", "1_000", "1.5", "inf", "6e-3", "true", "1979-05-27", "1979-05-27 07:32:00", "07:32:00.5"]
SHORT = ['""', '"x"', '"# no"', '"\\"]"', "''", "'a\\'"]
LONG = ["'''one'''", "'''a\nb'''''", '"""a\\"""b"""', '"""\n\\\n ]x"""""']
SCALARS = st.sampled_from([*NUMBERS, *SHORT, *LONG])
SPACE = st.sampled_from(["", " ", "\t "])
BREAK = st.sampled_from(["", " ", "\n", " # ] } note\n", "\n\n  "])
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(" . ".join)


def arrays(values):
    items = st.lists(st.tuples(BREAK, values, BREAK).map("".join), max_size=3)
    return st.tuples(items, st.booleans(), BREAK).map(
        lambda t: f"[{','.join(t[0])}{',' if t[1] and t[0] else ''}{t[2]}]"
    )


def inline_tables(values):
    pairs = st.lists(
        st.tuples(KEYS, SPACE, values, SPACE).map(lambda t: f"{t[0]}{t[1]}={t[1]}{t[2]}{t[3]}"), max_size=3
    )
    return pairs.map(lambda items: "{" + ", ".join(items) + "}")


VALUES = st.recursive(SCALARS, lambda values: arrays(values) | inline_tables(values), max_leaves=6)
PAIRS = st.tuples(SPACE, KEYS, SPACE, VALUES, SPACE).map(lambda t: f"{t[0]}{t[1]}{t[2]}={t[2]}{t[3]}{t[4]}")
HEADERS = st.tuples(SPACE, KEYS, st.booleans()).map(lambda t: t[0] + (f"[[{t[1]}]]" if t[2] else f"[{t[1]}]"))
LINES = PAIRS | HEADERS | st.sampled_from(["", "# a comment", "  "])
TEXTS = st.lists(LINES, max_size=8).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", " # end\n"]).map(lambda end: end.join(lines))
)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, (*path, index))
    else:
        yield path, value


def assert_all_found(text):
    parsed = tomllib.loads(text)
    found, read = scan(text), text.replace("\r\n", "\n")
    for path, value in leaves(parsed):
        assert parse_value(read, found.values[path], float)[1] == value or value != value
        if isinstance(path[-1], str):
            assert parse_key_part(read, found.keys[path])[1] == path[-1]
        for length in range(1, len(path)):
            assert path[:length] in found.keys


def parses(text):
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(TEXTS.filter(parses))
def test_every_leaf_of_a_file_is_found_where_it_stands(text):
    assert_all_found(text)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(TEXTS, st.integers(0, 300), st.text(alphabet="a.\"'[]{}=#,\n\\ 1", max_size=4))
def test_whatever_the_parser_accepts_the_scanner_reads_to_its_end(text, where, inserted):
    text = text[:where] + inserted + text[where:]
    if parses(text):
        assert_all_found(text)
    else:
        scan(text)


SAMPLE = """\
# first
[uplinks.ens3]
  table = 33
  a.b = [
  "x", # one
  "y",
]
[[points]]
x = 1
[[points]]
x = 2
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("uplinks",), (2, 2), (2, 2)),
        (("uplinks", "ens3"), (2, 10), (2, 10)),
        (("uplinks", "ens3", "table"), (3, 3), (3, 11)),
        (("uplinks", "ens3", "a", "b"), (4, 5), (4, 9)),
        (("uplinks", "ens3", "a", "b", 1), (6, 3), (6, 3)),
        (("uplinks", "ens3", "absent"), (2, 10), (2, 10)),
        (("absent",), (0, 0), (0, 0)),
        (("points", 1, "x"), (11, 1), (11, 5)),
    ],
)
def test_lines_and_columns_count_from_one(path, key, value):
    found = scan(SAMPLE)
    assert (found.of_key(path), found.of_value(path)) == (key, value)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param(".".join("a" * (MAX_PARTS + 1)) + " = 1", "dotted parts", id="a key of too many parts"),
        pytest.param(f"[{'.'.join('a' * (MAX_PARTS + 1))}]", "dotted parts", id="a header of too many parts"),
        pytest.param("a = " + "[" * (MAX_DEPTH + 1), "brackets", id="arrays in each other"),
        pytest.param("a = " + "{a=" * (MAX_DEPTH + 1), "brackets", id="inline tables in each other"),
        pytest.param("a = " + "1" * 101, "characters", id="a number of many digits"),
        pytest.param("a = [" + "1," * MAX_ENTRIES + "]", "elements", id="an array of many elements"),
        pytest.param("".join(f"[a{n}]\n" for n in range(MAX_ENTRIES + 1)), "tables", id="many tables"),
    ],
)
def test_what_would_cost_the_parser_too_much_is_refused_before_it_sees_it(text, wrong):
    with pytest.raises(Unsafe, match=wrong):
        scan(text)


def test_what_is_just_within_the_limits_is_read():
    assert_all_found(".".join("a" * MAX_PARTS) + " = 1\n")
    assert_all_found("a = " + "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)
    assert_all_found("a = [" + "1," * (MAX_ENTRIES - 1) + "]")
