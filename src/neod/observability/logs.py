"""The log of both daemons (structlog): one call, three renderings: journal, terminal, JSON."""

import logging
import os
import sys
from typing import Any, Final, Protocol

import structlog

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class Log(Protocol):
    """The part of a structlog logger that neo uses."""

    def bind(self, **fields: Any) -> "Log": ...
    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


def journal_line(_: Any, __: str, fields: Any) -> str:
    """Return one line with the priority prefix of the journal: ``<6>repaired object=… by=…``."""
    priority = PRIORITY.get(fields.pop("level", "info"), 6)
    event = fields.pop("event", "")
    fields.pop("timestamp", None)
    trace = fields.pop("exception", "")
    text = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
    line = f"<{priority}>{_quoted(event, words=True)} {text}".rstrip()
    return "\n".join([line, *(f"<{priority}>  {_printable(part)}" for part in str(trace).splitlines())])


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _quoted(value: object, *, words: bool = False) -> str:
    text = _printable(str(value))
    return text if words or (text and not set(text) & set(' "=')) else '"' + text.replace('"', "'") + '"'


def _clean(_: Any, __: str, fields: Any) -> Any:
    """Escape control characters before a terminal prints them: names come from networks and kernels."""
    traces = ("exception", "exc_info")
    return {k: _printable(v) if isinstance(v, str) and k not in traces else v for k, v in fields.items()}


def _stamp(_: Any, __: str, fields: Any) -> Any:
    """Add the local time with its offset, as every instant of neod has it."""
    from datetime import UTC, datetime

    now = datetime.now(UTC).astimezone()  # noqa: TID251  nothing is decided by when a line was written
    return {"timestamp": now.isoformat(timespec="milliseconds"), **fields}


def configure(level: str, style: str) -> Log:
    """Log to standard error from now on, and return the log; *style* is auto, json or console."""
    if style == "auto":
        style = "journal" if "JOURNAL_STREAM" in os.environ or not sys.stderr.isatty() else "console"
    shared: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info]
    if style == "json":
        shared += [_stamp, structlog.processors.JSONRenderer()]
    elif style == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        shared += [_clean, structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False), renderer]
    else:
        shared.append(journal_line)
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    log: Log = structlog.get_logger()
    return log
