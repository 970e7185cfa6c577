"""A command line whose errors say what would be right, for all programs of neo."""

import argparse
import re
from collections.abc import Sequence
from typing import Final, NoReturn

from neod.observability.streams import printable

USAGE: Final = 2  # the exit status of argparse


class Parser(argparse.ArgumentParser):
    """A parser of argparse whose errors are one line, with what would be right, and a second with the next step."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and end."""
        said = _in_words(message, self._actions)
        self.exit(USAGE, f"{self.prog}: {printable(said)}\nTry: {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, _none_of(str(value), tuple(map(str, action.choices))))


def _none_of(value: str, choices: Sequence[str]) -> str:
    return f"{value} is none of {', '.join(choices)}{meant(value, choices)}"


def meant(word: str, known: Sequence[str]) -> str:
    """Return a question after those of *known* that *word* resembles; nothing if there are none."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, 2, 0.7)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _in_words(message: str, actions: Sequence[argparse.Action]) -> str:
    """Return *message* of argparse in words of ours, or as it is. Source: argparse.py of Python 3.11 to 3.13."""
    if found := re.fullmatch(r"the following arguments are required: (.*)", message):
        missing = [one for one in actions if one.required and not one.option_strings]
        words = (" or ".join(map(str, one.choices)) if one.choices else str(one.metavar) for one in missing)
        return f"{', then '.join(words)} is missing"
    if found := re.fullmatch(r"(?s)unrecognized arguments: (\S*).*", message):
        word = found[1].partition("=")[0]
        known = [option for one in actions for option in one.option_strings]
        return (
            f"{word}: no such option{meant(word, known)}"
            if word.startswith("-")
            else f"{word} is one argument too many"
        )
    if found := re.fullmatch(r"argument (?:-\w/)?(\S+): expected one argument", message):
        return f"{found[1]} takes a value"
    message = re.sub(r"ignored explicit argument .*", "takes no value", message)
    return re.sub(r"^argument (?:-\w/)?(-\S+: )?(?:[^-]\S*: )?", r"\1", message)
