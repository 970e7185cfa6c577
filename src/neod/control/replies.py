"""What the daemon answers. The one model behind the control socket, ``--json`` and every table.

Plain values, computed by the daemon: who prints them decides nothing. A field
is added with a default and never changes its meaning; readers ignore fields
they do not know. An empty string or ``None`` says "there is none".

Objects are named by the text of their key (``rule:11003/from 10.8.0.5/32
lookup 3``). Durations are seconds or milliseconds from the moment of the
reply; instants are wall-clock times in ISO 8601 with offset, for people.

Each is defined in one of four modules, by what is asked together: making
these classes takes 1 ms each, and ``neodctl status`` needs only its own.

Not for: errors (see ``errors``).
"""

from neod.control.reply_doctor import DoctorReply, ProbeRow
from neod.control.reply_facts import (
    EventRecord,
    EventsReply,
    LeaseRow,
    LeasesReply,
    ModeReply,
    NeedRow,
    Resource,
    ShowReply,
    WaitReply,
    WhyReply,
)
from neod.control.reply_paths import ConnectionRow, PathsReply, SubflowRow
from neod.control.reply_plan import ApplyReply, BlockedRow, ChangeRow, ConfirmReply, OutcomeRow, PlanReply, ReloadReply
from neod.control.reply_status import (
    Drift,
    FileState,
    ForwardRow,
    NamespaceRow,
    ObjectRow,
    PassSummary,
    PathRow,
    StatusReply,
)

__all__ = [
    "ApplyReply",
    "BlockedRow",
    "ChangeRow",
    "ConfirmReply",
    "ConnectionRow",
    "DoctorReply",
    "Drift",
    "EventRecord",
    "EventsReply",
    "FileState",
    "ForwardRow",
    "LeaseRow",
    "LeasesReply",
    "ModeReply",
    "NamespaceRow",
    "NeedRow",
    "ObjectRow",
    "OutcomeRow",
    "PassSummary",
    "PathRow",
    "PathsReply",
    "PlanReply",
    "ProbeRow",
    "ReloadReply",
    "Resource",
    "ShowReply",
    "StatusReply",
    "SubflowRow",
    "WaitReply",
    "WhyReply",
]
