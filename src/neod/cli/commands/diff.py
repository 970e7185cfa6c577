"""what separates the kernel from the file, field by field"""

from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import DIFFERS, of_plan
from neod.cli.render_plan import diff as view
from neod.control.verbs.plan import PlanVerbs


def _diff(invocation: Invocation) -> int:
    """Show what separates the kernel from the file, field by field, in plan order."""
    reply = invocation.ask(PlanVerbs.diff)
    invocation.show(reply, view)
    return of_plan(reply.value)


COMMAND: Final = Command(_diff, None, PlanVerbs.diff, (DIFFERS,))
