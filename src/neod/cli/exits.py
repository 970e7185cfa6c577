"""Exit statuses of ``neodctl``; scripts depend on them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from neod.control.verbs.plan import ApplyReply, PlanReply
    from neod.control.verbs.status import StatusReply

FINE: Final = 0
DIFFERS: Final = 1
USAGE: Final = 2
TIMED_OUT: Final = 3
APPLY_FAILED: Final = 4
NO_DAEMON: Final = 8
NO_OBJECT: Final = 10
INTERNAL: Final = 70  # EX_SOFTWARE
NOT_ALLOWED: Final = 77  # EX_NOPERM
FILE_INVALID: Final = 78  # EX_CONFIG

MEANING: Final = {
    FINE: "fine",
    DIFFERS: "differs: drift, changes pending, blocked, failed or in conflict; the file is stale",
    USAGE: "usage",
    TIMED_OUT: "timed out",
    APPLY_FAILED: "apply failed, was undone, or cannot be done now",
    NO_DAEMON: "no daemon",
    NO_OBJECT: "no such object",
    INTERNAL: "internal error",
    NOT_ALLOWED: "not allowed",
    FILE_INVALID: "the file is invalid",
}

OF_EVERY_CALL: Final = (FINE, USAGE, TIMED_OUT, NO_DAEMON, INTERNAL, NOT_ALLOWED)
"""Of every command that calls the daemon."""

STATUS_OF_ERROR: Final = {
    "NoSuchObject": NO_OBJECT,
    "FileInvalid": FILE_INVALID,
    "NotAllowed": NOT_ALLOWED,
    "TimedOut": TIMED_OUT,
    "ApplyFailed": APPLY_FAILED,
    "Busy": APPLY_FAILED,
    "Overrun": NO_DAEMON,
    "Paused": APPLY_FAILED,
    "NothingToConfirm": APPLY_FAILED,
    "Lagged": TIMED_OUT,
    "InternalError": INTERNAL,
    "NoDaemon": NO_DAEMON,
    "NoAccess": NOT_ALLOWED,
    "NoAnswer": TIMED_OUT,
    "Foreign": INTERNAL,
}
"""Exit status by the name of the error."""


def of_plan(reply: "PlanReply") -> int:
    """Return the exit status of a command that shows a plan."""
    return DIFFERS if reply.changes or reply.blocked or reply.conflicts else FINE


def of_pass(reply: "ApplyReply") -> int:
    """Return the exit status of a command that waited for a pass."""
    if any(outcome.result != "done" for outcome in reply.outcomes):
        return APPLY_FAILED
    return FINE if reply.converged else DIFFERS


def of_status(reply: "StatusReply") -> int:
    """Return the exit status of ``status``: fine is what needs nobody."""
    fine = reply.converged and reply.file.state == "ok" and not any(row.reason for row in reply.paths)
    return FINE if fine else DIFFERS


def epilog(statuses: Iterable[int]) -> str:
    """Return the paragraph on exit statuses that ends a help text."""
    lines = [f"  {status:>3}  {MEANING[status]}" for status in sorted(statuses)]
    return "exit status:\n" + "\n".join(lines)
