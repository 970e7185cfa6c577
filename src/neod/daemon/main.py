"""Command line of neod; spawns the config reader before importing the daemon: both cores work.

The daemon itself is put together in ``assembly``; it never imports the validator.
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from neod import __version__
from neod.config.reader import spawn
from neod.model.errors import ConfigError, NeoError, ReadingFailed
from neod.observability.command_line import Parser
from neod.observability.hang_up import keep_hang_up

EX_UNAVAILABLE, EX_SOFTWARE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 69, 70, 75, 77, 78
SWITCH_S: Final = 0.0005
"""How long a thread waits for the interpreter lock. Writing the leases takes it a dozen times, and addresses wait for
that: with Python's 5 ms a write took up to 90 ms while a thousand links came up, with this 20."""

EXPLAIN: Final = (
    "Exit status: 0 stopped, 2 usage, 69 the kernel lacks something, or the file was not read in time, "
    "75 already running, 77 not root, 78 file."
)


def parser() -> Parser:
    """Return the command line of ``neod``."""
    made = Parser(
        "neod",
        description="Keep this host's network what one file says, until stopped.",
        epilog=EXPLAIN,
    )
    made.add_argument(
        "--config", type=Path, default=Path("/etc/neo/neo.toml"), metavar="FILE", help="default: %(default)s"
    )
    made.add_argument("--runtime-dir", type=Path, default=Path("/run/neo"), metavar="DIR", help="default: %(default)s")
    made.add_argument(
        "--state-dir", type=Path, default=Path("/var/lib/neo"), metavar="DIR", help="default: %(default)s"
    )
    made.add_argument("--version", action="store_true", help="print the version and exit")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status. No traceback for anything a user can cause."""
    keep_hang_up()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is a loop: no traceback
    arguments = parser().parse_args(argv)
    if arguments.version:
        print(f"neod {__version__}")
        return 0
    try:
        return _start(arguments)
    except ConfigError as error:
        for line in error.lines:
            print(line, file=sys.stderr)
        return EX_UNAVAILABLE if isinstance(error, ReadingFailed) else EX_CONFIG  # after which systemd gives up
    except NeoError as error:
        print(f"neod: {error}", file=sys.stderr)
        return EX_TEMPFAIL if type(error).__name__ in ("AlreadyRunning", "AlreadyServed") else EX_UNAVAILABLE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"neod: {where}{error.strerror or error}", file=sys.stderr)
        return EX_NOPERM if isinstance(error, PermissionError) else EX_UNAVAILABLE


def _settle_interpreter() -> None:
    """Spare the collector what was imported and stays, and threads a long wait for the interpreter lock."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    sys.setswitchinterval(SWITCH_S)


def _start(arguments: argparse.Namespace) -> int:
    config, runtime_dir, state_dir = (
        Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links, and errors shall name what was given
        for path in (arguments.config, arguments.runtime_dir, arguments.state_dir)
    )
    with ExitStack() as held:
        return _run(config, runtime_dir, state_dir, held)


def _run(config: Path, runtime_dir: Path, state_dir: Path, held: ExitStack) -> int:
    child = spawn(str(config))
    try:
        from neod.daemon.lock import hold

        for directory, mode in ((runtime_dir, 0o755), (state_dir, 0o700)):
            directory.mkdir(mode=mode, parents=True, exist_ok=True)
        held.enter_context(hold(runtime_dir))
        import asyncio

        sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # 0.1 s for tracebacks that we do not print
        from neod.daemon import assembly  # heavy: what it imports loads while the child reads the file
        from neod.daemon.outside import Outside

        _settle_interpreter()
    except BaseException:
        child.kill()
        raise
    try:
        asyncio.run(assembly.run(child, config, Outside(runtime_dir, state_dir)))
    except BaseExceptionGroup as group:  # the task's own line in the log has the traceback
        if isinstance(refused := group.exceptions[0], (NeoError, OSError)):
            raise refused from None
        print("neod: ended by a bug of its own; the log says where. The network stays as it is.", file=sys.stderr)
        return EX_SOFTWARE
    return 0
