"""When to send again, to renew, to give up: the arithmetic of RFC 2131. Pure.

Every duration is in seconds; instants are on the caller's clock. Randomness is injected.
"""

from random import Random
from typing import Final

INFINITE: Final = 0xFFFFFFFF
FALLBACK_LEASE_S: Final = 600.0
"""What a lease of 0 seconds, or without option 51, is taken for: such servers exist, and an
address that ends at once is of no use to anybody."""

MIN_LEASE_S: Final = 10.0
"""The shortest lease that is believed. Renewed at half its time that is a packet in 5 s; below it a
server's slip of the pen would make N clients hammer it."""

MIN_T1_S: Final = 2.0
"""The earliest renewal that is believed, for the same reason."""

RETRY_S: Final = (1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 8.0, 16.0, 32.0, 64.0)
"""RFC 2131, 4.1 begins with 4 s, made for a shared 10 Mbit/s wire and for each host by itself. Here the
limit of a parent bounds the rate whatever the clients want, so the first tries may come early: with 30 % of
all frames lost, six tries in 10 s leave 2 % without an answer, where two would leave a quarter."""

RENEW_AGAIN_S: Final = 60.0
NAK_FIRST_S: Final = 1.0
NAK_LONGEST_S: Final = 60.0


def retry_after(attempt: int, rng: Random) -> float:
    """Return how long to wait for an answer to transmission number *attempt* (from 0).

    Spread by 1 s either way (a quarter of the short ones), so that clients fall out of step.

    Source: RFC 2131, section 4.1.
    """
    base = RETRY_S[min(attempt, len(RETRY_S) - 1)]
    spread = min(1.0, base / 4)
    return base + rng.uniform(-spread, spread)


def nak_pause(naks: int, rng: Random) -> float:
    """Return how long to wait before starting again after the *naks*-th NAK in a row (from 1): 1 to 60 s."""
    longest = min(NAK_LONGEST_S, NAK_FIRST_S * 2.0 ** min(naks - 1, 6))
    return max(NAK_FIRST_S, longest * rng.uniform(0.8, 1.0))


def lease_seconds(granted: int | None) -> float:
    """Return how long a lease with option 51 = *granted* holds; ``inf`` for one without end."""
    if not granted:
        return FALLBACK_LEASE_S
    if granted == INFINITE:
        return float("inf")
    return max(float(granted), MIN_LEASE_S)


def renewal_times(lease_s: float, t1: int | None, t2: int | None, rng: Random) -> tuple[float, float]:
    """Return T1 and T2 in seconds since the request, always ``0 < T1 < T2 < lease_s``.

    Options 58 and 59 count where they make sense, else half and 7/8 of the lease. T1 is moved up to a
    twentieth earlier, so that clients that started together do not renew together indefinitely.

    Source: RFC 2131, section 4.4.5.
    """
    if lease_s == float("inf"):
        return lease_s, lease_s
    rebind_s = float(t2) if t2 and MIN_T1_S < t2 < lease_s else lease_s * 0.875
    renew_s = float(t1) if t1 and MIN_T1_S <= t1 < rebind_s else min(lease_s * 0.5, rebind_s * 0.8)
    return renew_s * rng.uniform(0.95, 1.0), rebind_s


def renew_again_at(now: float, until: float, lease_s: float) -> float:
    """Return when to repeat a renewal that was not answered: after half the time left, *until* at the latest.

    At least 60 s apart, as the RFC says; leases of under 16 minutes get a sixteenth
    of their time instead, or a single lost packet would cost them all of T1 to T2.

    Source: RFC 2131, section 4.4.5.
    """
    floor_s = min(RENEW_AGAIN_S, max(1.0, lease_s / 16))
    return min(until, now + max((until - now) / 2, floor_s))
