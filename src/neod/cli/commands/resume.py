"""end a pause"""

from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.render_facts import mode as view
from neod.control.verbs.mode import ModeVerbs


def _resume(invocation: Invocation) -> int:
    """Let neod change things again."""
    invocation.show(invocation.ask(ModeVerbs.resume), view)
    return FINE


COMMAND: Final = Command(_resume, None, ModeVerbs.resume)
