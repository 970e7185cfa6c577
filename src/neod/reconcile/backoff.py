"""How long to wait before the next attempt."""

from typing import Final

FIRST_S: Final = 0.25
LONGEST_S: Final = 60.0


def backoff(attempt: int) -> float:
    """Return the seconds to wait after failed *attempt*, from 1: 0.25 s, doubling, at most a minute."""
    return min(FIRST_S * 2.0 ** min(attempt - 1, 16), LONGEST_S)
