"""remove everything neod owns"""

from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, verb_command
from neod.cli.exits import DIFFERS, of_pass
from neod.cli.render_plan import apply as view
from neod.control.verbs.plan import PlanVerbs

ABOUT: Final = "Remove everything neod owns, and nothing else. `neodctl resume` brings it back."

COMMAND: Final = verb_command(
    PlanVerbs.down, view, ABOUT, status=of_pass, also=(DIFFERS,), within_s=lambda _: PASS_TIMEOUT_S
)
