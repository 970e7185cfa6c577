"""The log of both daemons (structlog): one call, three renderings: journal, terminal, JSON."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TextIO

import structlog

from neod.observability.journal import JournalLogger, fields_of, leads_to_journal
from neod.observability.streams import printable

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
OF_THE_LINE: Final = ("level", "event", "timestamp", "exception")
"""What is no value of its own. A value whose name begins with "_" is left out of lines, and is there for programs."""


class Log(Protocol):
    """The part of a structlog logger that neo uses."""

    def bind(self, **fields: Any) -> "Log": ...
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


def journal_line(_: Any, __: str, fields: Any) -> str:
    """Return one line with the priority prefix of the journal: ``<6>repaired object=… by=…``."""
    return _prefixed(_priority(fields), _lines(fields))


def journal_entry(_: Any, __: str, fields: Any) -> tuple[tuple[str, dict[str, str]], dict[str, Any]]:
    """Return what ``JournalLogger`` sends: a line, and the fields of it."""
    values = {name.lstrip("_"): printable(str(value)) for name, value in fields.items() if name not in OF_THE_LINE}
    priority, lines, event = _priority(fields), list(_lines(fields)), printable(str(fields.get("event", "")))
    program = os.path.basename(sys.argv[0]) or "neod"  # noqa: PTH119  as the service manager names it
    return (_prefixed(priority, lines), fields_of(program, priority, "\n".join(lines), event, values)), {}


def _priority(fields: Mapping[str, Any]) -> int:
    return PRIORITY.get(fields.get("level", "info"), 6)


def _prefixed(priority: int, lines: Iterable[str]) -> str:
    return "\n".join(f"<{priority}>{line}" for line in lines)


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield event and values in one line, and a traceback in lines of its own."""
    shown = {name: value for name, value in fields.items() if name not in OF_THE_LINE and not name.startswith("_")}
    text = " ".join(f"{name}={_quoted(value)}" for name, value in shown.items())
    yield f"{_quoted(fields.get('event', ''), words=True)} {text}".rstrip()
    for part in str(fields.get("exception", "")).splitlines():
        yield f"  {printable(part)}"


def _all_shown(_: Any, __: str, fields: Any) -> Any:
    """Return the fields for a program to read: those that a line leaves out, too."""
    return {name.lstrip("_"): value for name, value in fields.items()}


def _as_line(_: Any, __: str, fields: Any) -> Any:
    return {name: value for name, value in fields.items() if not name.startswith("_")}


def _quoted(value: object, *, words: bool = False) -> str:
    text = printable(str(value))
    return text if words or (text and not set(text) & set(' "=')) else '"' + text.replace('"', "'") + '"'


def _clean(_: Any, __: str, fields: Any) -> Any:
    """Escape control characters before a terminal prints them: names come from networks and kernels."""
    traces = ("exception", "exc_info")
    return {k: printable(v) if isinstance(v, str) and k not in traces else v for k, v in fields.items()}


def _stamp(_: Any, __: str, fields: Any) -> Any:
    """Add the local time with its offset, as every instant of neod has it."""
    from datetime import UTC, datetime

    now = datetime.now(UTC).astimezone()  # noqa: TID251  nothing is decided by when a line was written
    return {"timestamp": now.isoformat(timespec="milliseconds"), **fields}


class LogStream:
    """Writes to *stream*; a line that cannot be written is lost, and costs neither a connection nor the program."""

    __slots__ = ("__weakref__", "_stream")  # structlog keeps its locks by stream

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(level: str, style: str) -> Log:
    """Log to standard error from now on, and return the log; *style* is auto, json or console."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "journal"
    stream = os.environ.get("JOURNAL_STREAM", "")
    native = style == "journal" and bool(stream) and leads_to_journal(sys.stderr.fileno(), stream)
    output: Any = LogStream(sys.stderr)
    journal = JournalLogger(output) if native else None
    shared: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
    if style == "json":
        shared += [_all_shown, _stamp, structlog.processors.JSONRenderer()]
    elif style == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        shared += [_as_line, _clean, structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False), renderer]
    else:
        shared.append(journal_entry if journal else journal_line)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS.get(level, logging.INFO)),
        logger_factory=(lambda *_: journal) if journal else structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log
