"""read the file again, and print the plan that led to"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, Command, Invocation
from neod.cli.duration import positive_s
from neod.cli.exits import FINE
from neod.cli.render_plan import reload as view
from neod.control.verbs.plan import PlanVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--confirm",
        metavar="TIME",
        type=positive_s,
        help="go back to the file before after TIME (60s), unless neodctl confirm follows",
    )


def _reload(invocation: Invocation) -> int:
    """Read the file again, and show the plan that led to. A file with an error changes nothing."""
    reply = invocation.ask_within(PASS_TIMEOUT_S, PlanVerbs.reload, confirm_s=invocation.args.confirm)
    invocation.show(reply, view)
    return FINE


COMMAND: Final = Command(_reload, _arguments, PlanVerbs.reload)
