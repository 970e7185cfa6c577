"""completion script for a shell

Static, written from the parser itself. shtab would do it too, but takes a
dependency for three templates.
"""

import argparse
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.registry import names, summary


@dataclass(frozen=True, slots=True)
class Completions:
    """What may follow one command."""

    name: str
    help: str
    options: tuple[tuple[str, str], ...]  # (--option, help)
    choices: tuple[str, ...]
    files: bool


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))


def _completion(invocation: Invocation) -> int:
    """Print a completion script. For bash: `eval "$(neodctl completion bash)"`."""
    script = "\n".join(SCRIPTS[invocation.args.shell](tuple(_completions()))) + "\n"
    if invocation.args.json:
        invocation.print_json({"shell": invocation.args.shell, "script": script})
    else:
        invocation.out.write(script)
    return FINE


def _completions() -> Iterator[Completions]:
    from neod.cli.main import parser_of

    parser = parser_of(names())
    for action in parser._actions:  # argparse has no public way to ask what it parses
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield _of(name, summary(name), sub)


def _of(name: str, help_: str, parser: ArgumentParser) -> Completions:
    options = [(action.option_strings, action.help or "") for action in parser._actions if action.option_strings]
    positional = [action for action in parser._actions if not action.option_strings]
    return Completions(
        name,
        help_,
        tuple((option, text) for strings, text in options for option in strings if option.startswith("--")),
        tuple(str(choice) for action in positional for choice in action.choices or ()),
        any(action.metavar == "FILE" for action in positional),
    )


def _bash(commands: tuple[Completions, ...]) -> Iterator[str]:
    yield "_neodctl() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} command= i"
    yield "    COMPREPLY=()"
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield "        case ${COMP_WORDS[i]} in --runtime-dir) ((i++)) ;; -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac"
    yield "    done"
    yield "    case $command in"
    for each in commands:
        line = " ".join((*each.choices, *(option for option, _ in each.options)))
        files = " -f" if each.files else ""
        yield f"    {each.name}) COMPREPLY=($(compgen{files} -W '{line}' -- \"$word\")) ;;"
    all_names = " ".join(each.name for each in commands)
    yield f"    '') COMPREPLY=($(compgen -W '{all_names} --json --runtime-dir --version --help' -- \"$word\")) ;;"
    yield "    esac"
    yield "}"
    yield "complete -F _neodctl neodctl"


def _zsh(commands: tuple[Completions, ...]) -> Iterator[str]:
    yield "#compdef neodctl"
    yield "_neodctl() {"
    yield "    local -a commands=("
    for each in commands:
        yield f"        {_quoted(each.name + ':' + each.help)}"
    yield "    )"
    yield "    _arguments -C '--json[print the reply as JSON]' '--runtime-dir[of the daemon]:DIR:_files -/' \\"
    yield "        '1:command:{_describe command commands}' '*::argument:->rest'"
    yield "    case $words[1] in"
    for each in commands:
        specs = [_quoted(f"{option}[{_plain(text)}]") for option, text in each.options]
        specs += [f"'1:argument:({' '.join(each.choices)})'"] if each.choices else []
        specs += ["'1:file:_files'"] if each.files else []
        yield f"    {each.name}) _arguments {' '.join(specs)} ;;"
    yield "    esac"
    yield "}"
    yield '[ "$funcstack[1]" = _neodctl ] && _neodctl "$@" || compdef _neodctl neodctl'


def _fish(commands: tuple[Completions, ...]) -> Iterator[str]:
    yield "complete -c neodctl -f"
    yield "complete -c neodctl -l json -d 'print the reply as JSON'"
    yield "complete -c neodctl -l runtime-dir -x -a '(__fish_complete_directories)'"
    for each in commands:
        yield f"complete -c neodctl -n __fish_use_subcommand -a {each.name} -d {_quoted(each.help)}"
        here = f"-n '__fish_seen_subcommand_from {each.name}'"
        for option, text in each.options:
            yield f"complete -c neodctl {here} -l {option[2:]} -d {_quoted(text)}"
        if each.choices:
            yield f"complete -c neodctl {here} -a '{' '.join(each.choices)}'"
        if each.files:
            yield f"complete -c neodctl {here} -F"


def _plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


Script = Callable[[tuple[Completions, ...]], Iterator[str]]
SCRIPTS: Final[dict[str, Script]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}

COMMAND: Final = Command(_completion, _arguments)
