"""``neodctl apply`` and ``neodctl down``: passes that are waited for."""

from typing import Final

from neod.cli.command import WRITE_PATIENCE_S, Answer, Command, Context
from neod.cli.exits import APPLY_FAILED, ASKS, DIFFERS, FINE
from neod.cli.render_plan import apply as view
from neod.control.verbs.plan import ApplyReply


def _apply(context: Context) -> int:
    """Run one full pass now, and show what came of it."""
    return _show(context, context.ask(ApplyReply, "Apply", WRITE_PATIENCE_S))


def _down(context: Context) -> int:
    """Remove everything neod owns, and nothing else. `neodctl resume` brings it back."""
    return _show(context, context.ask(ApplyReply, "Down", WRITE_PATIENCE_S))


def _show(context: Context, answer: Answer[ApplyReply]) -> int:
    context.show(answer, view)
    if any(outcome.result != "done" for outcome in answer.reply.outcomes):
        return APPLY_FAILED
    return FINE if answer.reply.converged else DIFFERS


COMMANDS: Final = {
    "apply": Command(_apply, None, (*ASKS, DIFFERS, APPLY_FAILED)),
    "down": Command(_down, None, (*ASKS, DIFFERS, APPLY_FAILED)),
}
