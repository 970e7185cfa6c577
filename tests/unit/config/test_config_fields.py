"""Every key of every table: its examples are right, what resembles them is refused, and the schema says the same."""

import re
import tomllib
from typing import get_args, get_origin

import pytest
from pydantic import ValidationError
from tests.doubles.hostile import hostile
from tests.doubles.json_schema import Schema, matches
from tests.unit.config.test_config_checks import KEYS
from tests.unit.config.test_config_errors import CASES

from neod.config import problems
from neod.config.load import load
from neod.config.root import TABLES, Closed, json_schema, root
from neod.features.validation.context import Context, Positions
from neod.model.errors import ConfigError

SCHEMA = json_schema()
INSIDE = '[namespaces.n]\nuplink = "e"\nsubnet = "10.0.0.0/30"\n'
WORDS = ("null", "None", "nan", "true", "0x10", "1e3", "-1", "9" * 200)
"""Texts that are names of NICs and namespaces, as they stand in quotes."""

ONE_MEANING = {  # hostile only to other keys
    "mptcp": [[]],
    "expose": [[]],
    "on_recreate": [[]],
    "exclude": [[]],
    "relay_addresses": [[]],
    "relay_snat": [[]],
    "ports": [[], ["443", "8000-8010"]],
    "override": [{}],
    "mark_mask": [2**31],
}
KNOWN_LATER = ("sysctl",)
"""Checked where it is compiled: keys of the kernel, and values by what they are for."""

FIELDS = [pytest.param(section, key, id=f"{section.__name__}.{key}") for section, key in KEYS if key not in KNOWN_LATER]
NAMED = [
    name
    for name, table in TABLES.items()
    if get_origin(table.section) is dict and get_args(table.section)[0] is not str
]
PLACE = {
    **{(get_args(table.section) or (0, table.section))[1]: name for name, table in TABLES.items()},
}
PYTHON = re.compile(
    r"\b(None|True|False)\b|\bIPv[46]\w+\(|Path\(|datetime|\bdict\b|\btuple\b|\bNoneType\b|object at|<|>|Traceback"
    r"|Errno|\{'|\('|\b[bru]'|\\\\|pydantic|http|Input should|Field required|Extra inputs|valid (string|integer|dict)"
    r"|Error\b"
)


def judge(section, key):
    return Schema(SCHEMA["$defs"][section.__name__]["properties"][key], SCHEMA)


def takes(section, key, value):
    try:
        section.model_validate({key: value})
    except ValidationError as error:
        return not any(one["loc"][0] == key for one in error.errors(include_url=False))
    return True


def test_all_tables_have_keys_here():
    assert {section.__name__ for section, _ in KEYS} == set(SCHEMA["$defs"])
    assert len(FIELDS) > 75


@pytest.mark.parametrize(("section", "key"), FIELDS)
def test_every_key_has_examples_and_takes_them(section, key):
    examples = section.model_fields[key].examples
    assert examples
    for example in examples:
        assert takes(section, key, example), example
        assert judge(section, key).accepts(example), example


@pytest.mark.parametrize(("section", "key"), FIELDS)
def test_what_resembles_an_example_is_refused_by_check_and_schema_alike(section, key):
    schema = judge(section, key)
    for value in hostile(section.model_fields[key].examples):
        taken = takes(section, key, value)
        assert taken is schema.accepts(value), (taken, value)
        many = isinstance(value, list) and len(value) > 1000  # of each for itself good ones
        if value not in WORDS and not many and not any(value == one for one in ONE_MEANING.get(key, ())):
            assert not taken, value


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        ("Forward", "ports", [443, "443", "1-65535", [1], ["1", 2], " 80 ", [0], 0, 65536, "65536", "70000", [65536]]),
        ("Forward", "to", ["10.0.0.1:0", "10.0.0.1:65536", "[::ffff:1.2.3.4]:5", "2001:db8::1:99", "300.1.1.1"]),
        ("Daemon", "resync", ["10", "1min 30s", "90s", "1.5min", "5 min", "5parsecs", "1.5.5s", ".5s", "5s5", "s"]),
        ("Race", "listen", ["[::1%lo]:1", "1.2.3.4:0", "[::]:65535", "localhost:80", "1.2.3.4"]),
        ("Race", "listen", ["[1.2.3.4]:5", "::1:5", "1.2.3.04:5"]),
        ("Race", "upstreams", [["a.example:1"], ["a.example.:443"], ["1.2.3:4"], ["-a:1"], ["a_b:1"]]),
        ("Race", "upstreams", [["a..b:1"], ["a:0"], ["01.2.3.4:1"]]),
        ("Race", "sources", [["fe80::1%eth0"], ["1.2.3.4/32"], ["auto"], "none", ["1.2.3.04"]]),
        ("Group", "ids", ["1", "1-2", " 1 , 2-3 ", "1,", ",1", "1--2", "1-2-3", "1;2", "123456"]),
        ("Group", "macs", [["02:4E:65:6F:00:01"], ["02-4e-65-6f-00-01"], ["024e.656f.0001"]]),
        ("Group", "macs", [["00:00:00:00:00:00"], ["00:00:00:00:00:01"], ["01:00:00:00:00:00"]]),
        ("Group", "macs", [["024e656f0001"], ["2:4e:65:6f:0:1"]]),
        ("Group", "ipv4", [["10.8.0.5/255.255.0.0"], ["10.8.0.5/0.0.255.255"], ["10.08.0.5/16"]]),
        ("Group", "ipv4", [["10.8.0.5/016"], ["10.8.0.5"], "dchp"]),
        ("Uplink", "gateway", ["10.08.0.1", "10.8.0.1/16", "10.8.1", "0xa.8.0.1", "::ffff:10.8.0.1"]),
        ("Uplink", "table", ["33", 33.0, 0, 253, 255, 256, 20_000, 20_001, -1]),
        ("Uplink", "release", ["true", "yes", 1, 0, "on"]),
        ("Link", "mac", ["auto", "02:4e:65:6f:00:64", "03:4e:65:6f:00:64", "AUTO", "02:4e:65:6f:00"]),
        ("Link", "parent", ["all", "default", "lo", "lo0", "a" * 15, "a" * 16, ".a", "-a", "a.1", "a@b", "a:b", "ä"]),
        ("Namespace", "subnet", ["10.254.0.0/255.255.255.252", "fd00::/126", ["fd00::/126"], ["10.0.0.0/30"] * 3]),
        ("Namespace", "on_recreate", [["a@b.service"], ["a@.service"], ["a.service\n"], ["neod.service"], ["a/b"]]),
        ("Namespace", "on_recreate", [["a.scope"], ["*.service"], ["-.service"], ["a" * 260 + ".service"], ["a"]]),
        ("Mptcp", "exclude", [["10.0.0.0/8"], ["192.0.2.1"], ["::/0"], ["10.0.0.0/33"], ["::/129"], ["10.0.0.0/08"]]),
        ("Mptcp", "scheduler", ["default", "bpf_first", "-x", "a b", "x" * 16]),
    ],
)  # fmt: skip
def test_check_and_schema_agree_on_other_spellings(section, key, values):
    (model,) = {one for one, _ in KEYS if one.__name__ == section}
    for value in values:
        assert takes(model, key, value) is judge(model, key).accepts(value), value


@pytest.mark.parametrize("table", NAMED)
def test_check_and_schema_agree_on_names(table):
    (pattern,) = SCHEMA["properties"][table]["patternProperties"]
    names = ["a", "a.b", "all", "default", "lo", "connect", "x" * 14, "x" * 15, "x" * 16, "x" * 64, "x" * 300]
    for name in [*names, *(value for value in hostile(["ens3"]) if isinstance(value, str))]:
        refused = [loc for loc in locations({table: {name: {}}}) if loc[:1] == (table,) and "[key]" in loc]
        assert (not refused) is matches(pattern, name), name


def locations(data):
    try:
        root(Closed).model_validate(data)
    except ValidationError as error:
        return [one["loc"] for one in error.errors(include_url=False)]
    return []


@pytest.mark.parametrize(("section", "key"), [case for case in FIELDS if case.values[0] in PLACE])
def test_no_message_speaks_python(section, key):
    table, model = PLACE[section], root(Closed)
    by_name = get_args(TABLES[table].section)
    for value in hostile(section.model_fields[key].examples):
        if isinstance(value, str) and PYTHON.search(value):
            continue  # it is quoted
        context = Context("neo.toml", Positions(), {})
        entry = {key: value}
        try:
            model.model_validate({table: {"x": entry} if by_name else entry})
        except ValidationError as error:
            problems.note(error.errors(include_url=False), model, context)
        for line in context.errors[0]:
            said = re.sub(r"'[^']*'|\"[^\"]*\"", "''", line)
            assert line.isprintable()
            assert "; " in line or "did you mean" in line, line
            assert not PYTHON.search(said), line
            assert f"{table}." in line


@pytest.mark.parametrize("said", [case[2] for case in CASES], ids=[case[0] for case in CASES])
def test_no_message_of_the_golden_ones_speaks_python(said):
    for line in said.split("\n"):
        assert not PYTHON.search(re.sub(r"'[^']*'|\"[^\"]*\"", "''", line)), line


@pytest.mark.parametrize("value", ["1", "true", '"a b"', '""', '"a\\nb"', '"' + "x" * 1025 + '"', "1.5", "[1]"])
@pytest.mark.parametrize(
    "place", ["[sysctl]\n", '[namespaces.n]\nuplink = "e"\nsubnet = "10.0.0.0/30"\n[namespaces.n.sysctl]\n']
)
def test_check_and_schema_agree_on_sysctls(tmp_path, place, value):
    file = tmp_path / "neo.toml"
    file.write_text(f'{place}"net.ipv4.ip_forward" = {value}\n')
    taken = not isinstance(outcome(file), ConfigError)
    assert Schema(SCHEMA, SCHEMA).accepts(tomllib.loads(file.read_text())) is taken


def outcome(file):
    try:
        return load(file, {})
    except ConfigError as error:
        return error
