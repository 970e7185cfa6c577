"""what changed, who did it, what neod did, how long it took"""

import json
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.duration import instant
from neod.cli.exits import FINE
from neod.cli.render_facts import by_day, event
from neod.cli.text import Screen, page
from neod.control.verbs.events import EventsReply, EventVerbs
from neod.kernel.clock import SystemClock


def _since(text: str) -> float:
    return instant(text, SystemClock().wall())


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens from now")
    parser.add_argument(
        "--since",
        metavar="T",
        type=_since,
        help="10min (ago), 12:01, 2026-05-01 12:01, or as printed (default: all, or with -f none)",
    )


def _events(invocation: Invocation) -> int:
    """Show what changed, who did it, what neod did, and how long it took.

    With --json, one line of JSON an event.
    """
    day = ""
    with invocation.client() as client:
        for reply in client.follow(EventVerbs.events, invocation.args.since, invocation.args.follow):
            if invocation.args.json:
                invocation.out.write("".join(json.dumps(record) + "\n" for record in reply.raw.get("events", ())))
            else:
                day = _print(invocation, reply.value, day)
            invocation.out.flush()  # a pipe is block-buffered
    return FINE


def _print(invocation: Invocation, reply: EventsReply, day: str) -> str:
    """Print the events, under a heading with the date where that is another than *day*; return the last date."""
    for new, record in by_day(reply.events, day):
        invocation.out.write(page(_heading, new, invocation.screen) if new else "")
        invocation.out.write(page(event, record, invocation.screen))
        day = new or day
    return day


def _heading(day: str, screen: Screen) -> list[str]:
    return [screen.paint(day, "bold")]


COMMAND: Final = Command(_events, _arguments, EventVerbs.events)
