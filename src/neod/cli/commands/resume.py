"""end a pause"""

from typing import Final

from neod.cli.command import verb_command
from neod.cli.render_facts import mode as view
from neod.control.verbs.mode import ModeVerbs

COMMAND: Final = verb_command(ModeVerbs.resume, view, "Let neod change things again.")
