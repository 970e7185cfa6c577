"""what a pass would do now, or with FILE; changes nothing"""

import os
from argparse import ArgumentParser
from typing import Final

from neod.cli.caller import caller
from neod.cli.command import verb_command
from neod.cli.exits import DIFFERS, of_plan
from neod.cli.render_plan import plan as view
from neod.control.verbs.plan import PlanVerbs


def _arguments(parser: ArgumentParser) -> None:
    about = "read by the daemon (default: the file in use)"
    parser.add_argument("file", nargs="?", metavar="FILE", type=os.path.abspath, help=about)


ABOUT: Final = """Show what the next pass would do, or would do if FILE were the file; change nothing.

    + create   ~ change   - remove   ± remove and create   ! held by somebody else
    """

COMMAND: Final = verb_command(PlanVerbs.plan, view, ABOUT, _arguments, of_plan, (DIFFERS,), given={"caller": caller})
