"""what separates the kernel from the file, field by field"""

from typing import Final

from neod.cli.command import verb_command
from neod.cli.exits import DIFFERS, of_plan
from neod.cli.render_plan import diff as view
from neod.control.verbs.plan import PlanVerbs

ABOUT: Final = "Show what separates the kernel from the file, field by field, in plan order."

COMMAND: Final = verb_command(PlanVerbs.diff, view, ABOUT, status=of_plan, also=(DIFFERS,))
