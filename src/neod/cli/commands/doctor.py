"""probes of kernel and host, each with evidence and remedy"""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import Final

from neod.cli.command import PASS_TIMEOUT_S, REPLY_TIMEOUT_S, verb_command
from neod.cli.exits import DIFFERS, FINE
from neod.cli.text import Screen
from neod.control.verb import address_and_port
from neod.control.verbs.doctor import DoctorReply, DoctorVerbs
from neod.model.words import count

COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


def _arguments(parser: ArgumentParser) -> None:
    about = "connect to it with MPTCP from every address, and say what comes of each"
    parser.add_argument("--server", metavar="ADDRESS:PORT", type=_place, help=about)


def _place(text: str) -> str:
    """Return an address and a port as they came; names are not looked up, since each has many answers."""
    try:
        address_and_port(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not ADDRESS:PORT, like 192.0.2.1:443 or [2001:db8::1]:443") from None
    return text


def _view(reply: DoctorReply, screen: Screen) -> Iterator[str]:
    """Yield the lines: what is wrong first, with what to do."""
    for row in reply.probes:
        yield f"{screen.paint(row.state, COLOURS.get(row.state, ''))}  {row.name}: {row.evidence}"
        if row.remedy:
            yield f"    {row.remedy}"
    wrong = sum(row.state == "problem" for row in reply.probes)
    odd = sum(row.state == "warning" for row in reply.probes)
    yield f"{count(wrong, 'problem')}, {count(odd, 'warning')}."


COMMAND: Final = verb_command(
    DoctorVerbs.doctor,
    _view,
    "Show what kernel and host allow, with evidence and remedy.",
    _arguments,
    lambda reply: FINE if reply.healthy else DIFFERS,
    (DIFFERS,),
    lambda args: PASS_TIMEOUT_S if args.server else REPLY_TIMEOUT_S,
)
