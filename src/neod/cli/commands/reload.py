"""read the file again, and say what it takes away; asks first where that is much"""

import sys
from argparse import ArgumentParser
from select import select
from typing import Final

from neod.cli.caller import caller
from neod.cli.command import PASS_TIMEOUT_S, REPLY_TIMEOUT_S, Command, Invocation
from neod.cli.duration import positive_s
from neod.cli.exits import APPLY_FAILED, FINE
from neod.cli.render_plan import impact, reloaded
from neod.cli.render_plan import plan as plan_view
from neod.cli.render_plan import reload as view
from neod.cli.text import page
from neod.control.client import ControlClient
from neod.control.errors import FileInvalid
from neod.control.verbs.plan import PlanReply, PlanVerbs
from neod.control.verbs.status import StatusVerbs

ANSWER_S: Final = 60.0


def _arguments(parser: ArgumentParser) -> None:
    about = "go back to the file before after TIME (60s), unless neodctl confirm follows"
    parser.add_argument("--confirm", dest="confirm_s", metavar="TIME", type=positive_s, help=about)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def _reload(invocation: Invocation) -> int:
    """Read the file again, show what that leads to, and how much goes. A file with an error changes nothing.

    On a terminal it asks where a lease, a path or an open connection would go; no answer within 60 s is no. With --yes,
    and where stdin or stdout is no terminal, it does not ask.
    """
    args, here = invocation.args, caller()
    with invocation.client() as client:
        shown = None
        if not args.yes and sys.stdin.isatty() and invocation.out.isatty():
            shown = _plan(client, here)
            if shown is not None and _takes(shown) and not _agreed(invocation, shown):
                print("neodctl: nothing was changed", file=sys.stderr)
                return APPLY_FAILED
        digest = (shown.digest or None) if shown else None  # "": of a daemon that does not compare
        reply = client.ask(PlanVerbs.reload, PASS_TIMEOUT_S, args.confirm_s, digest, here)
    invocation.show(reply, reloaded if shown is not None and _takes(shown) else view)
    return FINE


def _plan(client: ControlClient, here: str | None) -> PlanReply | None:
    """Return what the file on disk would lead to; None if it has errors, which the reload itself tells and notes."""
    path = client.ask(StatusVerbs.status, REPLY_TIMEOUT_S).value.file.path
    try:
        return client.ask(PlanVerbs.plan, PASS_TIMEOUT_S, path, here).value
    except FileInvalid:
        return None


def _takes(plan: PlanReply) -> bool:
    """Whether a lease, a path or an open connection would go; of connections that cannot be read, some may."""
    found = plan.impact
    return found is not None and bool(found.leases or found.paths or found.connections != 0)


def _agreed(invocation: Invocation, plan: PlanReply) -> bool:
    """Show *plan* and ask; no answer in time, and the end of the input, are no."""
    out = sys.stderr if invocation.args.json else invocation.out
    out.write(page(impact if invocation.args.json else plan_view, plan, invocation.screen) + "Reload? [y/N] ")
    out.flush()
    if not select([sys.stdin], [], [], ANSWER_S)[0]:
        out.write(f"\nno answer within {ANSWER_S:g} s\n")
        return False
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMAND: Final = Command(_reload, _arguments, PlanVerbs.reload)
