"""``neodctl doctor``: probes of kernel and host."""

from collections.abc import Iterator
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.exits import ASKS, DIFFERS, FINE
from neod.cli.text import Screen, count
from neod.ipc.reply_doctor import DoctorReply

COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


def _doctor(context: Context) -> int:
    """Show what kernel and host allow, with evidence and remedy."""
    answer = context.ask(DoctorReply, "Doctor")
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


COMMANDS: Final = {"doctor": Command(_doctor, None, (*ASKS, DIFFERS))}
