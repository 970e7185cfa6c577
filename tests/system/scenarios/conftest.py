"""Collects every scenario of this directory as a test, once for each stage that it can be played on."""

import functools
import os
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.fixtures import TOOLS
from tests.lab.netns import exit_on_sigterm, sweep
from tests.system.scenarios.play import Failed, Play
from tests.system.scenarios.script import Misread, Script, read
from tests.system.scenarios.stage import Stage


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ScenarioFile | None":
    """Take text files as scenarios."""
    if file_path.suffix != ".txt" or file_path.parent != Path(__file__).parent:
        return None
    return ScenarioFile.from_parent(parent, path=file_path)  # type: ignore[no-any-return]


class ScenarioFile(pytest.File):
    """One text file."""

    def collect(self) -> Iterator["Scenario"]:
        """Yield one test a stage."""
        script = read(self.path)
        for name in script.stages:
            yield Scenario.from_parent(self, name=f"{self.path.stem}[{name}]", script=script, stage=name)


class Scenario(pytest.Item):
    """One scenario on one stage."""

    def __init__(self, *, script: Script, stage: str, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._script, self._stage = script, stage
        if stage == "kernel":
            self.add_marker(pytest.mark.kernel)

    def setup(self) -> None:
        """See that there is what the stage needs."""
        if self._stage == "kernel" and (absent := _absent()):
            pytest.skip(absent)

    def runtest(self) -> None:
        """Build the stage, play, and take it away."""
        with _stage(self._stage, self._script.lab) as stage:
            Play(self._script, self._stage, stage).play()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Say which line failed, what it expected and what was seen; a traceback would say nothing more."""
        if isinstance(excinfo.value, Failed | Misread):
            return str(excinfo.value)
        return "".join(traceback.format_exception(excinfo.value)[-12:])

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where it stands."""
        return self.path, 0, self.name


@functools.cache
def _absent() -> str:
    """Return what a kernel stage lacks here; empty when nothing. Takes away what crashed runs left."""
    if os.geteuid():
        return "needs root"
    if absent := [tool for tool in (*TOOLS, "nft", "iptables-legacy") if not shutil.which(tool)]:
        return f"not installed: {' '.join(absent)}"
    exit_on_sigterm()
    sweep()
    return ""


def _stage(name: str, lab: tuple[str, ...]) -> Stage:
    what, *more = lab
    if name == "fake":
        from tests.system.scenarios.on_fake import OnFake

        return OnFake(*more)
    if what == "relays":
        from tests.system.scenarios.on_relays import OnRelays

        return OnRelays()
    from tests.system.scenarios.on_campus import OnCampus

    return OnCampus(*more)
