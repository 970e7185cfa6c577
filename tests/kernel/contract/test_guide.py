"""The guide in docs/architecture.md, followed to the letter: a kind and a table are added by its commands alone."""

import filecmp
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernel.contract.test_event_plane import AT_LAST_S, WHO, events, need_tools, sh, wire
from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import poll

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ("A new kind of kernel object", "A new table of the file")
FILE = """
[macvlans.neo]
parent = "up0"
count = 2
ipv4 = ["10.9.0.1/16", "10.9.0.2/16"]
gateway = "10.9.9.9"

[neighbours.printer]
link = "neo1"
ip = "10.9.0.77"
mac = "02:00:00:00:00:77"

[neighbours.camera]
link = "neo2"
ip = "10.9.0.78"
mac = "02:00:00:00:00:78"

[daemon]
resync = "1h"
"""
NEW = {"kinds/neighbour.py", *(f"features/neighbours/{name}.py" for name in ("__init__", "compile", "schema"))}
CHANGED = {"kinds/__init__.py", "features/__init__.py"}


def commands():
    """Return the commands that the two sections of the guide tell."""
    text = (ROOT / "docs/architecture.md").read_text()
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    return [block for title in GUIDE for block in re.findall(r"```sh\n(.*?)```", sections[title], re.S)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the source to which the guide was applied."""
    made = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/neod", made / "src/neod", ignore=ignored)
    shutil.copytree(ROOT / "tests/kernel/contract/sample", made / "tests/kernel/contract/sample", ignore=ignored)
    for block in commands():
        subprocess.run(["sh", "-e", "-c", block], cwd=made, check=True)
    return made / "src"


def sources(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*.py")}


def lines_added(copy, name):
    before, after = (place.read_text().splitlines() for place in (ROOT / "src/neod" / name, copy / "neod" / name))
    assert [line for line in after if line in before] == before
    return len(after) - len(before)


def test_the_guide_adds_one_file_one_folder_and_two_lines(copy):
    before = sources(ROOT / "src/neod")
    assert sources(copy / "neod") - before == NEW
    differing = {name for name in before if not filecmp.cmp(ROOT / "src/neod" / name, copy / "neod" / name, False)}
    assert differing == CHANGED
    assert [lines_added(copy, name) for name in CHANGED] == [1, 1]


@pytest.fixture(scope="module")
def host(copy, tmp_path_factory):
    """A host with neod from the copy, converged on a file that has the new table."""
    need_tools("ip", "nsenter")
    made = Host(netns.unique("guide"), tmp_path_factory.mktemp("host"), nic="up0")
    wire(made.ns)
    try:
        made.write_config(FILE)
        made.start_neod({"PYTHONPATH": str(copy)}, command=[sys.executable, "-m", "neod"])
        made.wait()
        yield made
    finally:
        made.close()
        netns.delete(made.ns)


LOOK = "ip neigh show nud permanent dev neo1; ip neigh show nud permanent dev neo2"
DISTURBANCES = {
    "deleted": ("ip neigh del 10.9.0.77 dev neo1", "neighbour:neo1/10.9.0.77", "neo1"),
    "changed": (
        "ip neigh replace 10.9.0.78 dev neo2 lladdr 02:00:00:00:00:99 nud permanent",
        "neighbour:neo2/10.9.0.78",
        "neo2",
    ),
}


@pytest.mark.kernel
@pytest.mark.parametrize("what", DISTURBANCES)
def test_an_entry_of_the_new_table_is_repaired_attributed_and_under_its_path(host, what):
    command, name, path = DISTURBANCES[what]
    before, seen = sh(host, LOOK).stdout, len(events(host))
    assert "lladdr 02:00:00:00:00:77" in before
    assert sh(host, command).returncode == 0
    poll(lambda: sh(host, LOOK).stdout == before, AT_LAST_S, 0.01, f"{command}; {host.tail()}")
    host.wait()
    (record,) = [one for one in events(host)[seen:] if one["what"] == "repaired" and one["object"] == name]
    assert WHO.fullmatch(record["by"])
    assert "event" in record["cause"]
    shown = json.loads(host.ctl("status", path, "--json").out)
    assert name in [one["object"] for one in shown["objects"]]
