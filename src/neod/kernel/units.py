"""Units of the service manager, by ``systemctl``: it says what is wrong in words that people know."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BOOTED: Final = Path("/run/systemd/system")
"""There where systemd is the service manager. Source: sd_booted(3)."""

ANSWER_S: Final = 20.0


def is_systemd_here() -> bool:
    """Whether systemd is the service manager."""
    return BOOTED.is_dir()


def restart_running(units: Sequence[str]) -> str:
    """Have those of *units* restarted that run, and do not wait for it; return what is wrong, empty if nothing is."""
    if not is_systemd_here():
        return "systemd does not run here"
    argv = ["systemctl", "--no-ask-password", "--no-block", "try-restart", "--", *units]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"systemctl does not answer within {ANSWER_S:g} s"
    except OSError as error:
        return f"systemctl: {error.strerror or error}"
    if not done.returncode:
        return ""
    return "; ".join(done.stderr.strip().splitlines()) or f"systemctl ended with status {done.returncode}"
