"""What is written for people is what the program says of itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neod.cli.registry import names
from neod.config.load import json_schema
from neod.control.varlink import VERBS

TOP = Path(__file__).resolve().parents[3]
PAGES = {"neod.8", "neodctl.1", "neo.toml.5", "neo-race.8"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The man pages and the Markdown, as ``make docs`` writes them."""
    place = tmp_path_factory.mktemp("man")
    argv = [sys.executable, str(TOP / "tools/man.py"), str(place), "--file", str(place / "file.md")]
    subprocess.run(argv, check=True)
    return place


def test_the_keys_of_the_file_are_documented_as_they_are(written: Path) -> None:
    fresh, kept = (written / "file.md").read_text(), (TOP / "docs/file.md").read_text()
    assert fresh == kept, "the model has changed: run `make docs` and commit docs/file.md"


def test_the_verbs_of_the_control_socket_are_documented_as_they_are(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(TOP / "tools/verb_table.py"), str(tmp_path / "control.md")], check=True)
    fresh, kept = (tmp_path / "control.md").read_text(), (TOP / "docs/control.md").read_text()
    assert fresh == kept, "a verb has changed: run `make docs` and commit docs/control.md"
    assert [name for name in VERBS if f"| `{name}(" not in kept] == []


def test_every_page_is_there_and_has_every_command_table_and_key(written: Path) -> None:
    assert {path.name for path in written.glob("*.[158]")} == PAGES
    commands = (written / "neodctl.1").read_text()
    assert [name for name in names() if f".SS neodctl {name}" not in commands] == []
    keys = (written / "neo.toml.5").read_text()
    schema = json_schema()
    assert [name for name in schema["properties"] if f"[{name}" not in keys] == []
    wanted = {key for section in schema["$defs"].values() for key in section.get("properties", {})} - {"override"}
    assert [key for key in sorted(wanted) if not re.search(rf"^\.B {key}\b", keys, re.M)] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_no_line_of_a_page_is_taken_for_a_request_by_accident(page: str, written: Path) -> None:
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR", ".nf", ".fi"}
    lines = (written / page).read_text().splitlines()
    assert {line.split()[0] for line in lines if line.startswith((".", "'"))} <= known
    assert not any('"' in line for line in lines if line.startswith(".B "))


@pytest.mark.parametrize("page", sorted(PAGES))
@pytest.mark.parametrize(
    "judge", [("groff", "-man", "-ww", "-Tascii", "-z"), ("mandoc", "-Tlint", "-Wstyle")], ids=["groff", "mandoc"]
)
def test_a_page_has_nothing_that_a_formatter_warns_of(page: str, judge: tuple[str, ...], written: Path) -> None:
    if not shutil.which(judge[0]):
        pytest.skip(f"no {judge[0]} on this machine: make test installs it")
    answer = subprocess.run([*judge, written / page], capture_output=True, text=True, check=False)
    assert answer.stdout + answer.stderr == ""


def test_a_page_has_the_date_that_it_is_built_for(tmp_path: Path) -> None:
    argv = [sys.executable, str(TOP / "tools/man.py"), str(tmp_path)]
    subprocess.run(argv, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1777636800"})
    assert {path.read_text().split('"')[3] for path in tmp_path.iterdir()} == {"2026-05-01"}


@pytest.mark.parametrize("document", sorted(path.name for path in (TOP / "docs").glob("*.md")))
def test_every_table_of_an_example_in_the_documentation_is_known(document: str) -> None:
    text = (TOP / "docs" / document).read_text()
    tables = set(re.findall(r"^\[([a-z]+)[.\]]", "\n".join(re.findall(r"```toml\n(.*?)```", text, re.S)), re.M))
    assert tables <= set(json_schema()["properties"]), json.dumps(sorted(tables))
