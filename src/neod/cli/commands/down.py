"""remove everything neod owns"""

from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, Command, Invocation
from neod.cli.exits import DIFFERS, of_pass
from neod.cli.render_plan import apply as view
from neod.control.verbs.plan import PlanVerbs


def _down(invocation: Invocation) -> int:
    """Remove everything neod owns, and nothing else. `neodctl resume` brings it back."""
    reply = invocation.ask_within(PASS_TIMEOUT_S, PlanVerbs.down)
    invocation.show(reply, view)
    return of_pass(reply.value)


COMMAND: Final = Command(_down, None, PlanVerbs.down, (DIFFERS,))
