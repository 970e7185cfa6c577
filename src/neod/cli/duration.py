"""Durations and instants as systemd writes them: ``10min``, ``1h 30min``, ``12:01``."""

import argparse
import re
from typing import Final

UNITS_S: Final = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "w": 604800.0,
    "week": 604800.0,
}
PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)")


def duration_s(text: str) -> float:
    """Return the seconds that *text* says.

    Raises:
        ArgumentTypeError: it says none.
    """
    total, position = 0.0, 0
    while position < len(text):
        match = PART.match(text, position)
        if not match or not {match[2], match[2].removesuffix("s")} & UNITS_S.keys():
            break
        total += float(match[1]) * UNITS_S[match[2] if match[2] in UNITS_S else match[2].removesuffix("s")]
        position = match.end()
    if position == 0 or text[position:].strip():
        raise argparse.ArgumentTypeError(f"{text} is no duration; write 20s, 10min, 1h 30min")
    return total


def positive_s(text: str) -> float:
    """Return ``duration_s`` of *text* if it is more than nothing."""
    if (seconds := duration_s(text)) <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds


def instant(text: str, now: float) -> float:
    """Return the instant *text* means, in seconds since the epoch: ``10min`` ago, ``12:01``, ``2026-05-01 12:01``.

    What neodctl prints is among that, and the same with an offset, as JSON and logs have it.

    Args:
        now: seconds since the epoch. Dates and times are local where they have no offset.

    Raises:
        ArgumentTypeError: it means none.
    """
    from datetime import datetime

    try:
        return now - duration_s(text.strip().removesuffix("ago").removeprefix("-"))
    except argparse.ArgumentTypeError:
        pass
    dated = text if "-" in text.partition(":")[0] else f"{datetime.fromtimestamp(now):%Y-%m-%d}T{text.strip()}"
    try:
        return datetime.fromisoformat(dated).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text} is no instant; write 10min (ago), 12:01, 2026-05-01 12:01") from None
