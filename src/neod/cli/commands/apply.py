"""one full pass now, and wait for it"""

from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, Command, Invocation
from neod.cli.exits import DIFFERS, of_pass
from neod.cli.render_plan import apply as view
from neod.control.verbs.plan import PlanVerbs


def _apply(invocation: Invocation) -> int:
    """Run one full pass now, and show what came of it."""
    reply = invocation.ask_within(PASS_TIMEOUT_S, PlanVerbs.apply)
    invocation.show(reply, view)
    return of_pass(reply.value)


COMMAND: Final = Command(_apply, None, PlanVerbs.apply, (DIFFERS,))
