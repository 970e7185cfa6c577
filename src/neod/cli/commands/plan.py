"""what a pass would do now, or with FILE; changes nothing"""

import os
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import DIFFERS, of_plan
from neod.cli.render_plan import plan as view
from neod.control.verbs.plan import PlanVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="read by the daemon (default: the file in use)")


def _plan(invocation: Invocation) -> int:
    """Show what the next pass would do, or would do if FILE were the file; change nothing.

    + create   ~ change   - remove   ± remove and create   ! held by somebody else
    """
    file = invocation.args.file
    reply = invocation.ask(PlanVerbs.plan, file=os.path.abspath(file) if file else None)  # noqa: PTH100
    invocation.show(reply, view)
    return of_plan(reply.value)


COMMAND: Final = Command(_plan, _arguments, PlanVerbs.plan, (DIFFERS,))
