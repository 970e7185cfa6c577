"""What a scenario is played on: a kernel, or a dictionary that behaves like one."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Protocol

from tests.lab.host import Answer

from neod.cli.main import main


class Refused(Exception):
    """The stage cannot do what a line asks for."""


def neodctl(runtime: Path, *argv: str) -> Answer:
    """Run ``neodctl`` in this process: a scenario asks often, and most of what the command takes is its start."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(["--runtime-dir", str(runtime), *argv])
        except SystemExit as ended:  # argparse
            status = int(ended.code or 0)
    return Answer(status, out.getvalue(), err.getvalue())


class Stage(Protocol):
    """One laboratory with neod on one or more hosts. Entering builds it, leaving takes everything away."""

    def __enter__(self) -> "Stage": ...
    def __exit__(self, *_: object) -> None: ...

    def variables(self) -> dict[str, str]:
        """Return what ``$NAME`` stands for in lines and files."""
        ...

    def host(self, name: str) -> None:
        """Let what follows be about another host."""
        ...

    def file(self, text: str) -> None:
        """Put the host's file in place."""
        ...

    def start(self) -> None:
        """Start neod, and wait until it answers or has ended."""
        ...

    def ended(self) -> tuple[int, str] | None:
        """Return exit status and words of a neod that has ended; None while it runs."""
        ...

    def stop(self) -> None:
        """End neod as systemd does."""
        ...

    def kill(self) -> None:
        """End neod without giving it a word."""
        ...

    def ctl(self, *argv: str) -> Answer:
        """Run ``neodctl``."""
        ...

    def run(self, command: str) -> str:
        """Run a command on the host as its operator would; return what it printed."""
        ...

    def lan(self, command: str) -> str:
        """Run a command on the network beyond the host's NIC."""
        ...

    def carrier(self, up: bool) -> None:
        """Pull the cable, or put it back."""
        ...

    def dhcp(self, word: str, value: str) -> None:
        """Tell the DHCP server what to do from now on."""
        ...

    def problems(self) -> list[str]:
        """Return what the kernel does not hold as the file says, where the lab can judge it."""
        ...

    def holds(self, whose: str) -> Any:
        """Return all that is ``owned``, or all that is ``foreign``, as something that can be compared."""
        ...

    def difference(self, before: Any, after: Any) -> list[str]:
        """Return what is only in one of two such values, a line each."""
        ...

    def watch(self) -> None:
        """Begin to count what is written."""
        ...

    def written(self) -> list[str]:
        """Return what was written since :meth:`watch`."""
        ...

    def reaches(self, through: str) -> str:
        """Connect to the proxy through a relay; return what came of it: ``hello`` if it was answered."""
        ...

    def tail(self) -> str:
        """Return the end of neod's log."""
        ...
