"""one full pass now, and wait for it"""

from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, verb_command
from neod.cli.exits import DIFFERS, of_pass
from neod.cli.render_plan import apply as view
from neod.control.verbs.plan import PlanVerbs

ABOUT: Final = "Run one full pass now, and show what came of it."

COMMAND: Final = verb_command(
    PlanVerbs.apply, view, ABOUT, status=of_pass, also=(DIFFERS,), within_s=lambda _: PASS_TIMEOUT_S
)
