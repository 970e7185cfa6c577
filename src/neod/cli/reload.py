"""``neodctl reload`` and ``neodctl confirm``."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import WRITE_PATIENCE_S, Command, Context
from neod.cli.duration import positive_s
from neod.cli.exits import APPLY_FAILED, ASKS, FILE_INVALID, FINE
from neod.cli.render_plan import reload as view
from neod.cli.text import Screen
from neod.control.verbs.plan import ConfirmReply, ReloadReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--confirm",
        metavar="TIME",
        type=positive_s,
        help="go back to the file before after TIME (60s), unless neodctl confirm follows",
    )


def _reload(context: Context) -> int:
    """Read the file again, and show the plan that led to. A file with an error changes nothing."""
    answer = context.ask(ReloadReply, "Reload", WRITE_PATIENCE_S, confirm_s=context.args.confirm)
    context.show(answer, view)
    return FINE


def _confirm(context: Context) -> int:
    """Keep what the last `reload --confirm` brought."""
    context.show(context.ask(ConfirmReply, "Confirm"), _confirmed)
    return FINE


def _confirmed(reply: ConfirmReply, _: Screen) -> list[str]:
    return [f"{reply.file} stays."]


COMMANDS: Final = {
    "reload": Command(_reload, _arguments, (*ASKS, APPLY_FAILED, FILE_INVALID)),
    "confirm": Command(_confirm, None, (*ASKS, APPLY_FAILED)),
}
