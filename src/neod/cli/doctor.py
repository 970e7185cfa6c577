"""``neodctl doctor``: probes of kernel and host."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from neod.cli.command import PATIENCE_S, WRITE_PATIENCE_S, Command, Context
from neod.cli.exits import ASKS, DIFFERS, FINE
from neod.cli.text import Screen, count
from neod.control.verbs.doctor import DoctorReply

COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


def _arguments(parser: ArgumentParser) -> None:
    words = "connect to it with MPTCP from every address, and say what comes of each"
    parser.add_argument("--server", metavar="ADDRESS:PORT", type=_place, help=words)


def _place(text: str) -> str:
    """Return an address and a port as they came; names are not looked up, since each has many answers."""
    host, _, port = text.rpartition(":")
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
        if not 0 < int(port) < 1 << 16:
            raise ValueError
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not ADDRESS:PORT, like 192.0.2.1:443 or [2001:db8::1]:443") from None
    return text


def _doctor(context: Context) -> int:
    """Show what kernel and host allow, with evidence and remedy."""
    server = {"server": context.args.server} if context.args.server else {}
    answer = context.ask(DoctorReply, "Doctor", WRITE_PATIENCE_S if server else PATIENCE_S, **server)
    context.show(answer, view)
    return FINE if answer.reply.healthy else DIFFERS


def view(reply: DoctorReply, screen: Screen) -> Iterator[str]:
    """Yield the lines: what is wrong first, with what to do."""
    for row in reply.probes:
        yield f"{screen.paint(row.state, COLOURS.get(row.state, ''))}  {row.name}: {row.evidence}"
        if row.remedy:
            yield f"    {row.remedy}"
    wrong = sum(row.state == "problem" for row in reply.probes)
    odd = sum(row.state == "warning" for row in reply.probes)
    yield f"{count(wrong, 'problem')}, {count(odd, 'warning')}."


COMMANDS: Final = {"doctor": Command(_doctor, _arguments, (*ASKS, DIFFERS))}
