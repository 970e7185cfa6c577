"""what changed, who did it, what neod did, how long it took"""

import json
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.duration import instant
from neod.cli.exits import FINE
from neod.cli.render_facts import event
from neod.cli.text import Screen, page
from neod.control.verbs.events import EventRecord, EventsReply, EventVerbs
from neod.kernel.clock import SystemClock


def _since(text: str) -> float:
    return instant(text, SystemClock().wall())


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens from now")
    parser.add_argument(
        "--since", metavar="T", type=_since, help="10min (ago), 12:01, 2026-05-01 12:01 (default: all, or with -f none)"
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
    """Print the events, with a heading where the date changes; return the last date."""
    for record in reply.events:
        date = record.time.partition("T")[0]
        if day not in ("", date):
            invocation.out.write(page(_heading, record, invocation.screen))
        day = date
        invocation.out.write(page(event, record, invocation.screen))
    return day


def _heading(record: EventRecord, screen: Screen) -> list[str]:
    return [screen.paint(record.time.partition("T")[0], "bold")]


COMMAND: Final = Command(_events, _arguments, EventVerbs.events)
