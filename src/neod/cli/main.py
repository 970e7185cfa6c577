"""``neodctl``: parse, run one command, exit with a status that means something."""

import errno
import json
import os
import signal
import sys
from collections.abc import Sequence

from neod.cli.command import Invocation
from neod.cli.exits import FINE, INTERNAL, STATUS_OF_ERROR
from neod.cli.parser import arguments
from neod.cli.registry import command_of
from neod.cli.text import screen_of
from neod.control.errors import ControlError
from neod.observability.streams import BROKEN_PIPE, discard, printable, tolerate


def _version() -> str:
    """Return the version; the package's metadata is looked up only here."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("neod")
    except PackageNotFoundError:
        return "(not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``neodctl`` and return its exit status. No traceback gets out.

    Ctrl-C ends the program as any other, so that a shell's loop around it ends too. Python's own handler would not run
    while a read that has just begun waits for the daemon.
    """
    if argv is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(given)
    except BrokenPipeError:
        discard()
        return BROKEN_PIPE
    except OSError as exc:
        _complain(f"standard output: {exc.strerror or exc}" if exc.errno == errno.ENOSPC else _bug(exc))
        return INTERNAL
    except Exception as exc:  # the top of a program whose users do not read Python
        _complain(_bug(exc))
        return INTERNAL


def _run(given: Sequence[str]) -> int:
    tolerate()
    args = arguments(given)
    if args.version:
        print(f"neodctl {_version()}")
        return FINE
    try:
        status = int(command_of(args.command).run(Invocation(args, screen_of(sys.stdout, os.environ), sys.stdout)))
    except ControlError as exc:
        status = _refused(exc, args.json)
    sys.stdout.flush()
    return status


def _refused(error: ControlError, as_json: bool) -> int:
    """Say what was refused, and return its exit status."""
    name = type(error).__name__
    if as_json:
        from neod.control.codec import as_mapping

        print(json.dumps({"error": name, "parameters": as_mapping(error) or {"reason": str(error)}}, indent=2))
    for line in str(error).splitlines():
        _complain(line)
    return STATUS_OF_ERROR[name]


def _complain(line: str) -> None:
    sys.stdout.flush()
    name = "" if line.startswith(" ") else "neodctl: "  # below it, the line of a file that is wrong
    print(f"{name}{printable(line)}", file=sys.stderr)


def _bug(exc: Exception) -> str:
    """Return all that a bug report needs, in one line."""
    trace = exc.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace else None
    where = f" at {os.path.basename(code.co_filename)}:{trace.tb_lineno}" if code and trace else ""  # noqa: PTH119
    python = ".".join(map(str, sys.version_info[:3]))
    return f"internal error, please report: {type(exc).__name__}: {exc}{where}; neodctl {_version()}, Python {python}"
