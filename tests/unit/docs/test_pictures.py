"""Pictures are what their script makes, and pages lead where they say."""

import re
import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

from neod.config.load import json_schema

TOP = Path(__file__).resolve().parents[3]
PAGES = sorted([TOP / "README.md", TOP / "tests/system/scenarios/README.md", *(TOP / "docs").glob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def script():
    """The script that draws."""
    before = list(sys.path)
    yield SimpleNamespace(**runpy.run_path(str(TOP / "tools/pictures.py")))
    sys.path[:] = before


def test_the_pictures_are_what_their_script_makes(script, tmp_path):
    script.main(tmp_path)
    fresh = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (TOP / "docs/pictures").glob("*.svg")}
    assert fresh == kept, "run `make docs` and commit docs/pictures"


@pytest.mark.parametrize("path", sorted((TOP / "docs/pictures").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_well_formed_and_needs_nothing_from_elsewhere(path):
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    title = root.findtext(f"{SVG}title")
    assert title and root.get("aria-label") == title, "for those who cannot see it"
    values = [value for node in root.iter() for value in node.attrib.values()]
    assert not [value for value in values if "://" in value or value.startswith("data:")]
    assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {
        "svg", "title", "defs", "marker", "path", "rect", "circle", "text",
    }  # fmt: skip
    ground = root.find(f"{SVG}rect")
    assert ground is not None and ground.get("fill") == "#ffffff", "readable on dark pages, too"


def test_a_picture_is_shown_somewhere_with_words_for_those_who_cannot_see_it():
    text = "\n".join(page.read_text() for page in PAGES)
    for path in (TOP / "docs/pictures").glob("*.svg"):
        assert re.search(rf"!\[[^\]]{{20,}}\]\((docs/)?pictures/{path.name}\)", text), path.name


def test_text_that_leaves_its_box_is_an_error(script):
    drawing = script.Drawing(200, 100, "narrow")
    drawing.box(10, 10, 100, 40, "short")
    for words in ("much too long for its box", "a"):
        with pytest.raises(ValueError, match="narrow"):
            drawing.text(195 if words == "a" else 10, 10, words, room=100)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    local = [link for link in LINK.findall(text) if "://" not in link]
    broken = [link for link in local if not (page.parent / link.partition("#")[0]).exists()]
    assert broken == []
    headings = {anchor(line) for line in text.splitlines() if line.startswith("#")}
    assert [link for link in local if link.startswith("#") and link[1:] not in headings] == []


def anchor(heading):
    """Return what GitHub makes of a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower())
    return words.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_examples_have_only_keys_that_exist(page):
    schema = json_schema()
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S):
        table = ""
        for line in block.splitlines():
            if found := re.match(r"\[([\w.\"-]+)\]", line):
                table = found[1]
            elif (found := re.match(r"(\w+)\s*=", line)) and table and not table.startswith("sysctl"):
                assert found[1] in keys_of(schema, table), f"{page.name}: [{table}] {found[1]}"


def keys_of(schema, table):
    """Return the keys that the schema knows in a table, or in an entry of one: ``macvlans.neo``."""
    found = schema["properties"][table.split(".")[0]]
    for _ in range(6):
        if "$ref" in found:
            found = schema["$defs"][found["$ref"].rpartition("/")[2]]
        elif isinstance(found.get("additionalProperties"), dict):
            found = found["additionalProperties"]
        elif "patternProperties" in found:
            found = next(iter(found["patternProperties"].values()))
    return found["properties"]
