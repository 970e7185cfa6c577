"""``neodctl plan`` and ``neodctl diff``: what a pass would do."""

import os
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Answer, Command, Context
from neod.cli.exits import ASKS, DIFFERS, FILE_INVALID, FINE
from neod.cli.render_plan import diff as diff_view
from neod.cli.render_plan import plan as plan_view
from neod.control.verbs.plan import PlanReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="read by the daemon (default: the file in use)")


def _plan(context: Context) -> int:
    """Show what the next pass would do, or would do if FILE were the file; change nothing.

    + create   ~ change   - remove   ± remove and create   ! held by somebody else
    """
    file = context.args.file
    answer = context.ask(PlanReply, "Plan", file=os.path.abspath(file) if file else None)  # noqa: PTH100
    context.show(answer, plan_view)
    return _status(answer)


def _diff(context: Context) -> int:
    """Show what separates the kernel from the file, field by field, in plan order."""
    answer = context.ask(PlanReply, "Diff")
    context.show(answer, diff_view)
    return _status(answer)


def _status(answer: Answer[PlanReply]) -> int:
    reply = answer.reply
    return DIFFERS if reply.changes or reply.blocked or reply.conflicts else FINE


COMMANDS: Final = {
    "plan": Command(_plan, _arguments, (*ASKS, DIFFERS, FILE_INVALID)),
    "diff": Command(_diff, None, (*ASKS, DIFFERS)),
}
