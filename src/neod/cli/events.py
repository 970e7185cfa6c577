"""``neodctl events``."""

import json
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.duration import instant
from neod.cli.exits import ASKS, FINE
from neod.cli.render_facts import event
from neod.cli.text import Screen, page
from neod.control.codec import decode
from neod.control.verbs.events import EventRecord, EventsReply
from neod.kernel.clock import SystemClock


def _since(text: str) -> float:
    return instant(text, SystemClock().wall())


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens from now")
    parser.add_argument(
        "--since", metavar="T", type=_since, help="10min (ago), 12:01, 2026-05-01 12:01 (default: all, or with -f none)"
    )


def _events(context: Context) -> int:
    """Show what changed, who did it, what neod did, and how long it took.

    With --json, one line of JSON an event.
    """
    day = ""
    with context.client() as client:
        for raw in client.stream("Events", since=context.args.since, follow=context.args.follow):
            if context.args.json:
                context.out.write("".join(json.dumps(record) + "\n" for record in raw.get("events", ())))
            else:
                day = _print(context, decode(EventsReply, raw), day)
            context.out.flush()  # for whoever reads us through a pipe
    return FINE


def _print(context: Context, reply: EventsReply, day: str) -> str:
    """Print the events, with a heading where the date changes; return the last date."""
    for record in reply.events:
        date = record.time.partition("T")[0]
        if day not in ("", date):
            context.out.write(page(_heading, record, context.screen))
        day = date
        context.out.write(page(event, record, context.screen))
    return day


def _heading(record: EventRecord, screen: Screen) -> list[str]:
    return [screen.paint(record.time.partition("T")[0], "bold")]


COMMANDS: Final = {"events": Command(_events, _arguments, ASKS)}
