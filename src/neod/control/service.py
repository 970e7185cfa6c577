"""All verbs of the control socket, as one Protocol; each is declared in a module of ``verbs``.

Every method is called on the daemon's event loop, possibly several at once and while a pass runs; none may block it.
Those declared with ``ends_with_caller`` are cancelled when the caller disconnects; any other runs to its end. The
caller's right was checked before. An exception that the declaration does not name is a bug: the caller gets an
``InternalError``, the log has the traceback, and the daemon continues.
"""

from typing import Protocol

from neod.control.verbs.doctor import DoctorVerbs
from neod.control.verbs.events import EventVerbs
from neod.control.verbs.mode import ModeVerbs
from neod.control.verbs.objects import ObjectVerbs
from neod.control.verbs.paths import PathVerbs
from neod.control.verbs.plan import PlanVerbs
from neod.control.verbs.status import StatusVerbs


class ControlService(DoctorVerbs, EventVerbs, ModeVerbs, ObjectVerbs, PathVerbs, PlanVerbs, StatusVerbs, Protocol):
    """The verbs, as the daemon implements them.

    An *object* is the text of a key (``rule:11003/…``), or the name of a path,
    forward or namespace (``neo3``), which stands for all objects that belong to it.
    """
