"""What one command of ``neodctl`` is made of, and what it is given to run."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

from neod.cli.exits import ASKS
from neod.cli.text import Screen, page
from neod.control.codec import decode

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from neod.control.client import ControlClient

T = TypeVar("T")
View = Callable[[T, Screen], Iterable[str]]

PATIENCE_S = 30.0  # a question; the daemon answers these from memory
WRITE_PATIENCE_S = 600.0  # a pass over everything


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """One reply, as it came and as it is understood."""

    raw: dict[str, Any]
    reply: T


@dataclass(frozen=True, slots=True)
class Context:
    """What a command works with."""

    args: "Namespace"
    screen: Screen
    out: TextIO

    @contextmanager
    def client(self) -> Iterator["ControlClient"]:
        """Yield a connection to the daemon."""
        from neod.control.client import ControlClient

        with ControlClient(self.args.runtime_dir) as client:
            yield client

    def ask(
        self, cls: Callable[..., T], method: str, within_s: float | None = PATIENCE_S, **parameters: object
    ) -> Answer[T]:
        """Return the daemon's reply to one call."""
        with self.client() as client:
            raw = client.call(method, within_s, **parameters)
        return Answer(raw, decode(cls, raw))

    def show(self, answer: Answer[T], view: View[T]) -> None:
        """Print the reply: unchanged with ``--json``, else as *view* puts it."""
        if self.args.json:
            self.print_json(answer.raw)
        else:
            self.out.write(page(view, answer.reply, self.screen))

    def print_json(self, value: object) -> None:
        """Print *value* as indented JSON, in ASCII: nothing in it can steer a terminal."""
        self.out.write(json.dumps(value, indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its arguments, its deed, and the statuses it may exit with."""

    run: Callable[[Context], int]  # its docstring is the help text
    arguments: Callable[["ArgumentParser"], object] | None = None
    exits: tuple[int, ...] = ASKS
