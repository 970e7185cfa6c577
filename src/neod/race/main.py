"""``neo-race [--config FILE] [--runtime-dir DIR] [NAME…]`` and ``neo-race connect NAME``."""

import gc
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from socket import socketpair
from typing import Final, NamedTuple

from neod import __version__
from neod.netlink.netns import StuckInNetns
from neod.observability.command_line import Parser
from neod.observability.hang_up import keep_hang_up, take_hang_up
from neod.observability.logs import Log, configure
from neod.observability.streams import guarded
from neod.observability.systemd import SystemdNotify
from neod.race.limits import raise_descriptor_limit
from neod.race.loop import IN, Loop
from neod.race.service import RaceService
from neod.race.settings import ConfigError, RaceConfig, ReadingFailed, read_config

OK, FAILED, USAGE, TIMED_OUT, NO_SUCH, FILE_INVALID = 0, 1, 2, 3, 10, 78
"""Exit statuses, the same as neodctl's."""

NONE: Final = "write a table [races.NAME] there, with listen and upstreams, and start neo-race again"

STATUS_S: Final = 10.0

GC_THRESHOLD: Final = 50_000
"""Connections create no reference cycles; searching for them every 700 allocations is wasted work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``neo-race`` and return its exit status."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    """Run races until a signal ends them, or join one to standard input and output."""
    options = _options(argv)
    if not options.connect:
        keep_hang_up()
    try:
        config = read_config(options.config)
    except ConfigError as error:
        print("\n".join(error.lines), file=sys.stderr)
        return FAILED if isinstance(error, ReadingFailed) else FILE_INVALID  # after which systemd gives up
    known = {race.name: race for race in config.races}
    unknown = [name for name in options.names if name not in known]
    if unknown or not known:
        what = f"no race {', '.join(unknown)}" if unknown else "no races"
        has = f"it has {', '.join(sorted(known))}" if known else NONE
        print(f"{options.config}: {what}; {has}", file=sys.stderr)
        return NO_SUCH  # after which systemd gives up, too
    if options.connect:
        from neod.race.connect import connect

        log = configure(_quieter(config.log_level), config.log_format)
        return connect(known[options.names[0]], config.paths, options.runtime_dir, log)
    return RaceProgram(options, config).run()


class Options(NamedTuple):
    config: str
    runtime_dir: str
    names: tuple[str, ...]
    connect: bool


def _options(argv: Sequence[str] | None) -> Options:
    parser = Parser(
        prog="neo-race",
        usage="%(prog)s [--config FILE] [--runtime-dir DIR] [NAME…]\n"
        "       %(prog)s [--config FILE] [--runtime-dir DIR] connect NAME",
        description="Accept connections and forward each over whichever way is established first. With connect: make "
        "one connection in this manner and join it to standard input and output, as ssh's ProxyCommand wants it.",
        epilog="Exit status: 0 fine, 1 no connection, 2 usage, 3 time-out, 10 no such race or none at all, "
        "78 file invalid.",
    )
    parser.add_argument("--config", default="/etc/neo/neo.toml", metavar="FILE")
    parser.add_argument("--runtime-dir", default="/run/neo", metavar="DIR", help="where neod's control socket is")
    parser.add_argument("--version", action="version", version=f"neo-race {__version__}")
    parser.add_argument("names", nargs="*", metavar="NAME", help="races of the file; all of them without")
    options = parser.parse_intermixed_args(argv)
    connect = options.names[:1] == ["connect"]
    if connect and len(options.names) != 2:
        parser.error("connect takes the name of one race")
    return Options(options.config, options.runtime_dir, tuple(options.names[connect:]), connect)


def _quieter(level: str) -> str:
    """Return *level*, but ``warning`` instead of ``info``: ssh shows users what its ProxyCommand prints."""
    return "warning" if level == "info" else level


class RaceProgram:
    """The service as a process: signals, service manager, reload."""

    def __init__(self, options: Options, config: RaceConfig) -> None:
        self._file = options.config
        self._log: Log = configure(config.log_level, config.log_format)
        self._loop = Loop(on_bug=self._on_bug)
        self._signal_sockets = socketpair()
        self._notify = SystemdNotify()
        limit = raise_descriptor_limit()
        self._service = RaceService(self._loop, self._log, limit, options.runtime_dir, options.names)
        self._reading = False
        self._reload_again = False
        self._use(config)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT."""
        self._watch_signals()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 50, 100)
        self._notify_ready()
        self._feed_watchdog()
        self._notify_status()
        try:
            self._loop.run()
        except StuckInNetns as error:
            self._log.error("ending", why=str(error))
            return FAILED
        return OK

    def _on_bug(self, error: Exception) -> None:
        self._log.error("a fault of neo-race", error=f"{type(error).__name__}: {error}", exc_info=error)

    def _watch_signals(self) -> None:
        reader, writer = self._signal_sockets
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

        def on_signal(_: int) -> None:
            for number in reader.recv(64):
                self._on_signal(number)

        self._loop.watch(reader.fileno(), on_signal, IN)
        take_hang_up()

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
        else:
            self._notify.stopping()
            self._log.info("stopping", open=self._service.connections)
            self._service.stop(self._loop.stop)

    def _reload(self) -> None:
        """Read the file in a child process, awaited in a thread; a signal meanwhile reads it again afterwards."""
        if self._reading:
            self._reload_again = True
            return
        self._reading = True
        self._notify.reloading()
        run_in_thread(self._loop, lambda: read_config(self._file), self._on_read)

    def _on_read(self, found: RaceConfig | ConfigError) -> None:
        self._reading = False
        if isinstance(found, ConfigError):
            for problem in found.problems:
                self._log.error("file invalid; the races go on as they are", problem=problem)
        else:
            self._use(found)
            self._log.info("reloaded", races=len(self._service.runners))
            if not self._service.runners:
                self._log.warning("no races", file=self._file, next="nothing is listened on until a reload finds one")
        self._notify_ready()
        if self._reload_again:
            self._reload_again = False
            self._reload()

    def _use(self, config: RaceConfig) -> None:
        for warning in config.warnings:
            self._log.warning("file", warning=warning)
        self._service.apply(config)

    def _feed_watchdog(self) -> None:
        """Send WATCHDOG=1 from the loop, so that a loop that hangs does not."""
        if self._notify.watchdog_s is not None:
            self._notify.feed_watchdog()
            self._loop.call_later(self._notify.watchdog_s, self._feed_watchdog)

    def _notify_ready(self) -> None:
        self._notify.status(self._service.status())
        self._notify.ready()

    def _notify_status(self) -> None:
        if self._notify.listening:
            self._notify.status(self._service.status())
            self._loop.call_later(STATUS_S, self._notify_status)


def run_in_thread(loop: Loop, work: Callable[[], RaceConfig], done: Callable[[RaceConfig | ConfigError], None]) -> None:
    """Run *work*, which may block, in a thread, and call *done* with its result on the loop."""

    def run() -> None:
        found: RaceConfig | ConfigError
        try:
            found = work()
        except ConfigError as error:
            found = error
        loop.call_soon_threadsafe(lambda: done(found))

    threading.Thread(target=run, name="read file", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
