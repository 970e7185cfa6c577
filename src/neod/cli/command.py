"""What one command of ``neodctl`` is made of, and what it is given to run.

Named tuples: a dataclass takes half a millisecond to make, at every start.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TextIO, TypeVar

from neod.cli.exits import FINE, INTERNAL, OF_EVERY_CALL, STATUS_OF_ERROR, USAGE
from neod.cli.text import Screen, page
from neod.control.codec import ControlReply
from neod.control.verb import verb_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from neod.control.client import ControlClient

R = TypeVar("R")
View = Callable[[R, Screen], Iterable[str]]

REPLY_TIMEOUT_S = 30.0  # of what the daemon answers from memory
PASS_TIMEOUT_S = 600.0  # of a full pass


class Invocation(NamedTuple):
    """What a command works with."""

    args: "Namespace"
    screen: Screen
    out: TextIO

    @contextmanager
    def client(self) -> Iterator["ControlClient"]:
        from neod.control.client import ControlClient

        with ControlClient(self.args.runtime_dir) as client:
            yield client

    def show(self, reply: ControlReply[R], view: View[R]) -> None:
        """Print the reply: unchanged with ``--json``, else as *view* puts it."""
        if self.args.json:
            self.print_json(reply.raw)
        else:
            self.out.write(page(view, reply.value, self.screen))

    def print_json(self, value: object) -> None:
        """Print *value* as indented JSON, in ASCII: nothing in it can steer a terminal."""
        self.out.write(json.dumps(value, indent=2) + "\n")


class Command(NamedTuple):
    """One command: what it runs, its arguments, the verb it calls, and its exit statuses."""

    run: Callable[[Invocation], int]  # its docstring is the help text
    arguments: Callable[["ArgumentParser"], object] | None = None
    verb: Callable[..., object] | None = None  # None: it needs no daemon
    also: tuple[int, ...] = ()  # beside those of every command, and of the errors of the verb

    @property
    def exits(self) -> frozenset[int]:
        if self.verb is None:
            return frozenset({FINE, USAGE, INTERNAL, *self.also})
        errors = (STATUS_OF_ERROR[error.__name__] for error in verb_of(self.verb).errors)
        return frozenset({*OF_EVERY_CALL, *errors, *self.also})


def verb_command(
    verb: Callable[..., Awaitable[R]],
    view: View[R],
    about: str,
    arguments: Callable[["ArgumentParser"], object] | None = None,
    status: Callable[[R], int] = lambda _: FINE,
    also: tuple[int, ...] = (),
    within_s: Callable[["Namespace"], float] = lambda _: REPLY_TIMEOUT_S,
    given: Mapping[str, Callable[[], object]] = {},
) -> Command:
    """Return the command that calls *verb* and shows the reply.

    Arguments that are named as parameters of the verb are passed to it, and *given* ones that are found out.
    """

    def run(invocation: Invocation) -> int:
        names = [one.name for one in verb_of(verb).parameters if one.name in invocation.args]
        with invocation.client() as client:
            arguments = {name: getattr(invocation.args, name) for name in names}
            found = {name: find() for name, find in given.items()}
            reply = client.ask(verb, within_s(invocation.args), **arguments, **found)
        invocation.show(reply, view)
        return status(reply.value)

    run.__doc__ = about
    return Command(run, arguments, verb, also)
