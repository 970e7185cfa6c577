"""keep what reload --confirm brought"""

from typing import Final

from neod.cli.command import verb_command
from neod.cli.text import Screen
from neod.control.verbs.plan import ConfirmReply, PlanVerbs


def _view(reply: ConfirmReply, _: Screen) -> list[str]:
    return [f"{reply.file} stays."]


COMMAND: Final = verb_command(PlanVerbs.confirm, _view, "Keep what the last `reload --confirm` brought.")
