"""``[daemon]``: how neod itself works. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """What the table says; it wants nothing of the kernel."""

    resync_s: float = 60.0
    on_stop: str = "keep"  # keep | remove
    log_level: str = "info"
    log_format: str = "auto"  # auto | json | console
