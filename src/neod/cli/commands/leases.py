"""every DHCP lease"""

from typing import Final

from neod.cli.command import verb_command
from neod.cli.render_facts import leases as view
from neod.control.verbs.objects import ObjectVerbs

COMMAND: Final = verb_command(
    ObjectVerbs.leases, view, "Show every DHCP lease: address, server, gateway, times, state."
)
