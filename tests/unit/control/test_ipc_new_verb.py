"""A verb with a reply and a command of its own touches three files, and everything else follows from it."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]

DECLARATION = '''
    @verb(Right.READ)
    async def uptime(self, unit: Annotated[str, one_of("s", "min")] = "s") -> UptimeReply:
        """How long neod has been running.

        In *unit*.
        """
        ...
'''

REPLY = '''@dataclass(frozen=True, slots=True)
class UptimeReply:
    """How long neod has been running."""

    uptime: float
    unit: str = "s"


class ModeVerbs(Protocol):'''

IMPLEMENTATION = '''    async def uptime(self, unit: str = "s") -> UptimeReply:
        """Return a time."""
        return UptimeReply(120.0 if unit == "s" else 2.0, unit)

    async def down(self) -> ApplyReply:
'''

COMMAND = '''"""how long neod has been running"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.text import Screen
from neod.control.verbs.mode import ModeVerbs, UptimeReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--unit", choices=("s", "min"), default="s", help="of the answer")


def _view(reply: UptimeReply, _: Screen) -> list[str]:
    return [f"up for {reply.uptime:g} {reply.unit}"]


COMMAND: Final = verb_command(ModeVerbs.uptime, _view, "Show how long neod has been running.", _arguments)
'''

ASK = """
import json
from pathlib import Path
from tests.system.scenarios.on_fake import OnFake
from neod.control.client import ControlClient, Foreign

with OnFake() as host:
    host.file("[daemon]\\n")
    host.start()
    answers = [host.ctl(*argv) for argv in (
        ("uptime",), ("uptime", "--unit", "min", "--json"), ("uptime", "--help"), ("--help",), ("completion", "bash")
    )]
    with ControlClient(str(Path(host.variables()["FILE"]).parent)) as client:
        reply = client.call("Uptime", 10.0, unit="min")
        try:
            client.call("Uptime", 10.0, unit="h")
        except Foreign as error:
            refused = str(error)
    print(json.dumps([[(each.status, each.out) for each in answers], reply, refused]))
"""


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Change a file; the empty text stands for its end."""
    text = path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1) if before else text + after
    path.write_text(text)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the source in which a verb was added by three files."""
    source = tmp_path / "src"
    shutil.copytree(TOP / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    edit(
        source / "neod/control/verbs/mode.py",
        ("from typing import Protocol", "from typing import Annotated, Protocol"),
        ("Seconds, verb", "Seconds, one_of, verb"),
        ("class ModeVerbs(Protocol):", REPLY),
        ("", DECLARATION),
    )
    edit(
        source / "neod/daemon/control.py",
        ("import ModeReply, WaitReply", "import ModeReply, UptimeReply, WaitReply"),
        ("    async def down(self) -> ApplyReply:\n", IMPLEMENTATION),
    )
    (source / "neod/cli/commands/uptime.py").write_text(COMMAND)
    return source


def changed(source: Path) -> list[str]:
    """Return the files that differ from the original."""
    files = [path.relative_to(source) for path in sorted(source.rglob("*.py"))]
    return [
        str(file)
        for file in files
        if not (TOP / "src" / file).exists() or not filecmp.cmp(source / file, TOP / "src" / file, shallow=False)
    ]


def run(source: Path, *argv: str) -> str:
    """Run Python on the copy; return what it printed."""
    environ = os.environ | {"PYTHONPATH": f"{source}:{TOP}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *argv], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_verb_of_three_files_is_served_called_typed_and_documented(source: Path, tmp_path: Path) -> None:
    assert changed(source) == ["neod/cli/commands/uptime.py", "neod/control/verbs/mode.py", "neod/daemon/control.py"]
    answers, reply, refused = json.loads(run(source, "-c", ASK).splitlines()[-1])
    texts = [text for _, text in answers]
    assert [status for status, _ in answers] == [0] * len(answers)
    assert texts[0] == "up for 120 s\n"
    assert json.loads(texts[1]) == reply == {"uptime": 2.0, "unit": "min"}
    assert "InvalidParameter" in refused
    assert "Show how long neod has been running." in texts[2]
    assert "exit status:" in texts[2]
    assert "uptime      how long neod has been running" in texts[3]
    assert "uptime) options='-h --help --json --runtime-dir --version --unit'" in texts[4]
    run(source, str(TOP / "tools/verb_table.py"), str(tmp_path / "control.md"))
    row = "| `Uptime(unit: ?string = s)` | read | UptimeReply |  | `uptime` | How long neod has been running. |"
    assert row in (tmp_path / "control.md").read_text()
    show = "from neod.control.varlink import VarlinkAdapter; print(VarlinkAdapter.render_interface_description())"
    described = run(source, "-c", show)
    assert (
        "# How long neod has been running.\nmethod Uptime(unit: ?string) -> (uptime: float, unit: string)" in described
    )
