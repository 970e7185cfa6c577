"""The shell lines of an interfaces file, as far as they can be understood without running them. Pure.

Understood are simple commands after each other, tests whether the interface is there already, and ``|| true``. A line
with anything that decides whether a command runs, or with a variable that is not known, is left out as a whole: a line
less is noticed, a line misread is not.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from neod.cli.ifupdown import MOST_CHARACTERS

NO_COMMANDS: Final = "neod runs no commands"
CONDITION: Final = "whether all of it runs is known only when it runs"
MOST_NESTED: Final = 16

TOKEN: Final = re.compile(
    r"""(?P<blank>[ \t]++|(?<![^\s;&|()])\#.*+)|(?P<away>\d*+(?:&>>?|>>?[&|]?|<<?[&<]?)[ \t]*+[^\s;&|()<>'"]*+)"""
    r"""|(?P<operator>&&|\|\|?|;|&|[()])|(?P<word>(?:[^\s'"\\;&|()<>]|\\.|'[^']*+'|"(?:[^"\\]|\\.)*+")++)""",
    re.X | re.A,
)
NOWHERE: Final = re.compile(r"\d*+(?:&>>?|>>?&?|<&?)\s*+(?:/dev/null|\d|-)")
QUOTED: Final = re.compile(r"""'([^']*+)'|"((?:[^"\\]|\\.)*+)"|\\(.)""")
VARIABLE: Final = re.compile(r"\$\{(\w{1,64})\}|\$(\w{1,64})")
NOT_FOLLOWED: Final = frozenset(
    ("for", "while", "until", "case", "else", "elif", "select", "function", "do", "done", "esac")
)


class Strange(Exception):
    """A line that is left out as a whole, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one command does to one interface; *why_not*, where neo does not do all of it."""

    link: str = ""  # empty: that of the stanza
    says: Mapping[str, str] = field(default_factory=dict)  # keys of Path; with "=" before it: what has to be so
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One command, or some of them."""

    steps: list[Step] = field(default_factory=list)
    test: str = ""  # its words, if all it does is to tell whether an interface is there
    inverse: bool = False
    leaves: bool = False  # whether it can end the line
    is_known: bool = True  # whether neo knows all of its commands
    is_idle: bool = True  # whether nothing of it matters to neo


Commands = Callable[[list[str]], Part]
"""What a simple command, or a pipeline of them, does."""


def steps(text: str, link: str, variables: Mapping[str, str], read: Commands) -> list[Step]:
    """Return what the commands in *text*, a line of the stanza of *link*, do."""
    if len(text) > MOST_CHARACTERS:
        return [Step(why_not=f"longer than {MOST_CHARACTERS} characters")]
    filled = VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)
    try:
        tokens = deque(_tokens(filled))
        found = _list(tokens, (), link, read, 0)
        return found.steps if not tokens else [Step(why_not="unbalanced")]
    except Strange as strange:
        return [Step(why_not=str(strange))]


def _tokens(text: str) -> Iterator[str]:
    """Yield words, without their quotes, and operators, after a line feed; what goes nowhere is left out."""
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise Strange("a quote that is not closed, or a form of shell that neo does not know")
        at = found.end()
        if found.lastgroup == "operator":
            yield "\n" + found[0]
        elif found.lastgroup == "away" and not NOWHERE.fullmatch(found[0]):
            yield found[0]
        elif found.lastgroup == "word":
            word = QUOTED.sub(lambda part: part[1] or re.sub(r"\\(.)", r"\1", part[2] or part[3] or ""), found[0])
            if "$" in word or "`" in word:
                raise Strange("it has a variable, or runs a command inside, that is known only when it runs")
            yield word


def _list(tokens: deque[str], ends: tuple[str, ...], link: str, read: Commands, depth: int) -> Part:
    """Take commands until one of *ends*."""
    found: Part | None = None
    while tokens and tokens[0] not in ends:
        if tokens[0] in ("\n;", "\n&"):
            tokens.popleft()
            continue
        if found is not None and found.leaves:
            raise Strange(CONDITION)
        part = _command(tokens, link, read, depth)
        while tokens and tokens[0] in ("\n&&", "\n||"):
            joint = tokens.popleft()
            part = _joined(part, joint, _command(tokens, link, read, depth), link)
        found = part if found is None else _both(found, part)
    return found or Part()


def _joined(left: Part, joint: str, right: Part, link: str) -> Part:
    """Return what both do; an interface that is not there yet is made."""
    if (joint == "\n&&") != left.inverse:
        if not left.test and not left.is_known:
            raise Strange(CONDITION)
        return _both(left, right)
    there = re.findall(r"[\w.-]++", left.test)
    if there and any((step.link or link) in there for step in right.steps):
        return right
    if not right.is_idle:
        raise Strange(CONDITION)
    return _both(left, Part(leaves=right.leaves))


def _both(left: Part, right: Part) -> Part:
    left.steps.extend(right.steps)
    known, idle = left.is_known and right.is_known, left.is_idle and right.is_idle
    return Part(left.steps, leaves=right.leaves, is_known=known, is_idle=idle)


def _command(tokens: deque[str], link: str, read: Commands, depth: int) -> Part:
    """Take one command: simple, in parentheses, or after ``if``, which is ``&&``."""
    if depth > MOST_NESTED:
        raise Strange(f"more than {MOST_NESTED} commands in each other")
    match tokens.popleft() if tokens else "":
        case "!":
            part = _command(tokens, link, read, depth + 1)
            return replace(part, inverse=not part.inverse)
        case "\n(" | "{" as opens:
            part = _list(tokens, ("\n)" if opens == "\n(" else "}",), link, read, depth + 1)
            _expect(tokens, "\n)" if opens == "\n(" else "}")
            return part
        case "if":
            condition = _list(tokens, ("then",), link, read, depth + 1)
            _expect(tokens, "then")
            part = _joined(condition, "\n&&", _list(tokens, ("fi",), link, read, depth + 1), link)
            _expect(tokens, "fi")
            return part
        case word if word in NOT_FOLLOWED:
            raise Strange(f"{word}: neo does not follow loops and choices")
        case "" | "\n;" | "\n&" | "\n|" | "\n&&" | "\n||" | "\n)":
            raise Strange("a form of shell that neo does not know")
        case word:
            words = [word]
    while tokens and (tokens[0] == "\n|" or not tokens[0].startswith("\n")):
        words.append(tokens.popleft())
    return read(words)


def _expect(tokens: deque[str], end: str) -> None:
    if not tokens or tokens.popleft() != end:
        raise Strange(f"{end.strip()} is missing")
