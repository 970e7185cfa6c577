"""``[metrics]``: where the numbers for Prometheus are served. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What the table says; it wants nothing of the kernel."""

    listen: str = ""  # "127.0.0.1:9110"; empty is off
