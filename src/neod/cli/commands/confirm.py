"""keep what reload --confirm brought"""

from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.text import Screen
from neod.control.verbs.plan import ConfirmReply, PlanVerbs


def _confirm(invocation: Invocation) -> int:
    """Keep what the last `reload --confirm` brought."""
    invocation.show(invocation.ask(PlanVerbs.confirm), _view)
    return FINE


def _view(reply: ConfirmReply, _: Screen) -> list[str]:
    return [f"{reply.file} stays."]


COMMAND: Final = Command(_confirm, None, PlanVerbs.confirm)
