"""``neodctl show`` and ``neodctl leases``: what is wanted, what is there."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.exits import ASKS, FINE, NO_OBJECT
from neod.cli.render_facts import leases as leases_view
from neod.cli.render_facts import show as show_view
from neod.control.verbs.objects import LeasesReply, ShowReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("which", choices=("desired", "observed"), help="what the file asks for, or what the kernel has")
    parser.add_argument("kind", nargs="?", metavar="KIND", help="link, address, route, rule, sysctl, … (default: all)")


def _show(context: Context) -> int:
    """Show the resources of one kind, or all."""
    answer = context.ask(ShowReply, "Show", which=context.args.which, kind=context.args.kind)
    context.show(answer, show_view)
    return FINE


def _leases(context: Context) -> int:
    """Show every DHCP lease: address, server, gateway, times, state."""
    context.show(context.ask(LeasesReply, "Leases"), leases_view)
    return FINE


COMMANDS: Final = {
    "show": Command(_show, _arguments, (*ASKS, NO_OBJECT)),
    "leases": Command(_leases),
}
