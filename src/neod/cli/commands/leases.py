"""every DHCP lease"""

from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.render_facts import leases as view
from neod.control.verbs.objects import ObjectVerbs


def _leases(invocation: Invocation) -> int:
    """Show every DHCP lease: address, server, gateway, times, state."""
    invocation.show(invocation.ask(ObjectVerbs.leases), view)
    return FINE


COMMAND: Final = Command(_leases, None, ObjectVerbs.leases)
