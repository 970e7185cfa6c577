"""read the file again, and print the plan that led to"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, verb_command
from neod.cli.duration import positive_s
from neod.cli.render_plan import reload as view
from neod.control.verbs.plan import PlanVerbs


def _arguments(parser: ArgumentParser) -> None:
    about = "go back to the file before after TIME (60s), unless neodctl confirm follows"
    parser.add_argument("--confirm", dest="confirm_s", metavar="TIME", type=positive_s, help=about)


ABOUT: Final = "Read the file again, and show the plan that led to. A file with an error changes nothing."

COMMAND: Final = verb_command(PlanVerbs.reload, view, ABOUT, _arguments, within_s=lambda _: PASS_TIMEOUT_S)
