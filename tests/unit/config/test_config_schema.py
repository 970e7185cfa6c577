"""The JSON Schema, the descriptions of the keys, and the file that is installed agree with the model."""

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from neod.config.load import load
from neod.config.root import TABLES, json_schema
from neod.features.parts import PathInfo
from neod.features.validation.text import toml
from neod.model.errors import ConfigError

INSTALLED = Path(__file__).parents[3] / "etc" / "neo.toml"
SCHEMA = json_schema()
SECTIONS = {name: table.section for name, table in TABLES.items() if name != "sysctl"}  # whose keys are the kernel's


def properties(schema, path=()):
    for name, below in schema.get("properties", {}).items():
        yield (*path, name), below
        yield from properties(below, (*path, name))
    for name, below in schema.get("$defs", {}).items():
        yield from properties(below, (name,))


KEYS = [pytest.param(path, below, id=".".join(path)) for path, below in properties(SCHEMA)]


def uncommented(text):
    return re.sub(r'^#(?=[\["a-z])', "", text, flags=re.MULTILINE)


def test_the_schema_is_json_of_the_dialect_2020_12():
    assert json.loads(json.dumps(SCHEMA))["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_knows_every_table_and_no_other():
    assert set(SCHEMA["properties"]) == set(TABLES)
    assert SCHEMA["additionalProperties"] is False


@pytest.mark.parametrize(("path", "key"), KEYS)
def test_every_key_says_what_it_is_for(path, key):
    assert len(key["description"]) > 20
    assert key["description"].endswith(".")


@pytest.mark.parametrize(("path", "key"), [case for case in KEYS if len(case.values[0]) == 2])
def test_every_key_has_an_example_and_no_default_that_toml_cannot_say(path, key):
    assert key["examples"]
    assert key.get("default", 0) is not None


def test_an_entry_whose_name_does_not_fit_is_refused_by_the_schema():
    named = [table for table in SCHEMA["properties"].values() if "patternProperties" in table]
    assert len(named) >= 3
    assert all(table["additionalProperties"] is False for table in named)


def test_the_schema_wants_exactly_one_way_to_say_how_many():
    assert [choice["required"] for choice in SCHEMA["$defs"]["Group"]["oneOf"]] == [["count"], ["ids"], ["macs"]]


def test_the_schema_wants_a_parent_and_a_number_of_a_vlan():
    (rule,) = SCHEMA["$defs"]["Link"]["allOf"]
    assert rule["if"]["properties"] == {"kind": {"const": "vlan"}}
    assert rule["then"]["required"] == ["parent", "id"]


def test_an_override_has_no_defaults_for_the_group_has_them():
    assert not any("default" in key for key in SCHEMA["$defs"]["Override"]["properties"].values())


def section_of(table):
    return get_args(table)[1] if get_args(table) else table


# where an example of a section is tried, and what stands there beside it
PLACES = {
    section_of(table).__name__: f"[{name}{'.neo' if get_args(table) else ''}]" for name, table in SECTIONS.items()
}
PLACES["Override"] = '[macvlans.neo]\nparent = "ens3"\ncount = 1\n[macvlans.neo.override.neo1]'
GIVEN = {
    section_of(table).__name__: {
        name: field.examples[0] for name, field in section_of(table).model_fields.items() if field.is_required()
    }
    for table in SECTIONS.values()
}
VLAN = {"kind": "vlan", "parent": "ens3", "id": 100}
KIND_WITH = {"ports": "bridge", "mode": "bond", "stp": "bridge", "vlan_filtering": "bridge"}  # keys of one kind of link
GIVEN |= {"Override": {}, "Group": {"parent": "ens3", "count": 2}}
ALONG = {  # what an example needs beside it
    "ipv4": {"gateway": "10.8.0.1"},
    "gateway": {"ipv4": "10.8.0.5/16"},
}


def examples():
    for section, below in SCHEMA["$defs"].items():
        for key, schema in below["properties"].items():
            for example in schema["examples"]:
                yield pytest.param(section, key, example, id=f"{section}.{key}={toml(example)}")


@pytest.mark.parametrize(("section", "key", "example"), [*examples()])
def test_every_example_is_right(tmp_path, section, key, example):
    said = dict(GIVEN[section])
    if section == "Link":
        said = {"kind": KIND_WITH[key]} if key in KIND_WITH else dict(VLAN)
    if key in ("ids", "macs"):
        del said["count"]
    if key in ALONG and example not in ("dhcp", "follow"):
        said |= ALONG[key]
    if key == "override":
        said["count"] = 3
    if section == "Group" and (key == "mac" or "gateway" in said | {key: example}):
        said["count"] = len(example) if isinstance(example, list) else 1
    lines = [f"{name} = {toml(value)}" for name, value in (said | {key: example}).items()]
    file = tmp_path / "neo.toml"
    file.write_text("\n".join([PLACES[section], *lines, ""]))
    assert load(file, {})


def test_the_installed_file_asks_for_nothing_until_somebody_edits_it():
    with pytest.raises(ConfigError, match="asks for nothing"):
        load(INSTALLED, {})


def test_the_installed_file_is_right_once_its_examples_are_taken_in(tmp_path):
    text = INSTALLED.read_text(encoding="utf-8")
    assert text.startswith("#:schema ")
    file = tmp_path / "neo.toml"
    file.write_text(uncommented(text), encoding="utf-8")
    intents = load(file, {})
    assert [path.name for path in intents.of(PathInfo)] == ["ens3", *(f"neo{number}" for number in range(1, 9))]


def test_the_installed_file_shows_every_table():
    text = uncommented(INSTALLED.read_text(encoding="utf-8"))
    assert tomllib.loads(text).keys() == set(TABLES)
