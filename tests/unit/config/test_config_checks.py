"""Every check that a section names is in force."""

from typing import Annotated, get_args, get_origin

import pytest
from pydantic import ValidationError

from neod.config.root import TABLES, Closed, root
from neod.features.validation.fields import LinkName, Section, integer

HOSTILE = "../../../etc/passwd\0"
VALUES = (HOSTILE, -1.5, [HOSTILE], {HOSTILE: 1}, None)


def sections(annotation):
    """Yield a section and all below it."""
    if get_origin(annotation) is dict:
        yield from sections(get_args(annotation)[1])
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections(field.annotation)


KEYS = [
    (section, key) for table in TABLES.values() for section in sections(table.section) for key in section.model_fields
]
HOSTILE_VALUES = [
    pytest.param(section, key, value, id=f"{section.__name__}.{key}-{type(value).__name__}")
    for section, key in KEYS
    for value in VALUES
    if key != "sysctl" or not isinstance(value, dict)  # a table of sysctls is checked where it is compiled
]
NAMED = [name for name, table in TABLES.items() if get_origin(table.section) is dict and name != "sysctl"]


def refused_at(model, value):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return {error["loc"] for error in caught.value.errors(include_url=False)}


def test_all_sections_are_walked():
    names = {section.__name__ for section, _ in KEYS}
    assert names >= {"Group", "Override", "Uplink", "Race", "Daemon", "Forward", "Namespace", "Link"}
    assert len(KEYS) > 60


@pytest.mark.parametrize(("section", "key", "value"), HOSTILE_VALUES)
def test_no_key_takes_a_hostile_value(section, key, value):
    assert any(loc[0] == key for loc in refused_at(section, {key: value}))


@pytest.mark.parametrize(
    "name", [name for name, table in TABLES.items() if get_args(table.section)[:1] not in ((), (str,))]
)
def test_no_entry_takes_a_hostile_name(name):
    assert (name, HOSTILE, "[key]") in refused_at(root(Closed), {name: {HOSTILE: {}}})


LINK = Annotated[str, LinkName]


@pytest.mark.parametrize(
    "annotation",
    [str, Annotated[str, LINK], Annotated[int, integer(0, 9), integer(0, 5)], Annotated[str, "a note"]],
    ids=["no check", "an Annotated", "two checks", "no Validator"],
)
def test_a_section_whose_check_would_not_be_in_force_cannot_be_made(annotation):
    with pytest.raises(TypeError, match="wants one Validator"):
        type("Bad", (Section,), {"__annotations__": {"key": annotation}, "__module__": __name__})
