"""What a message tells people to run is there: commands, their options, units. Docstrings are not for them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from neod.cli.parser import parser_of
from neod.cli.registry import names

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "neod"

COMMAND = re.compile(r"\bneodctl ([a-z]+)((?: [\w./-]+)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
UNIT = re.compile(r"\bsystemctl (?:start|stop|restart|reload|enable) ([\w-]+)")
SHARED = ("config", "features", "kinds", "model", "reconcile", "kernel", "netlink", "dhcp", "mptcp")
"""Several programs say what stands here: an option of one of them would be none of the others."""

PROSE = {"prints", "tells", "says", "asks", "takes"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that people may see, with their lines; of those with values, each as a whole."""
    tree = ast.parse(path.read_text())
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    docs = {one.value for body in bodies for one in body if isinstance(one, ast.Expr)}
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - docs
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs | parts:
            yield node.lineno, node.value


@cache
def options(command: str) -> frozenset[str]:
    return frozenset(text for action in parser_of(command)._actions for text in action.option_strings)


MODULES = sorted(SOURCE.rglob("*.py"))


def test_every_command_and_option_that_a_message_names_is_there():
    wrong, seen = [], 0
    for path in MODULES:
        for line, text in texts(path):
            for found in COMMAND.finditer(text):
                command, rest = found[1], set(OPTION.findall(found[2]))
                seen += 1
                if command not in PROSE and (command not in names() or rest - options(command)):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {found[0]}")
    assert not wrong
    assert seen > 20


def test_what_several_programs_say_names_no_option_of_one_of_them():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] in SHARED
        for line, text in texts(path)
        if {"--config", "--runtime-dir", "--state-dir", "--json"} & set(OPTION.findall(COMMAND.sub("", text)))
    ]
    assert not wrong


def test_every_unit_that_a_message_names_is_installed():
    there = {path.name.partition(".")[0] for path in ROOT.rglob("*.service")}
    for path in MODULES:
        for line, text in texts(path):
            for unit in UNIT.findall(text):
                assert unit in there, f"{path}:{line}: {text}"


@pytest.mark.parametrize("said", ["neodctl realod", "try neodctl reload --conform 60s"])
def test_what_is_not_there_would_be_found(said):
    found = COMMAND.search(said)
    assert found[1] not in names() or set(OPTION.findall(found[2])) - options(found[1])
