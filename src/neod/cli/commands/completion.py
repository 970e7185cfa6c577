"""completion script for a shell

Static, written from the parsers themselves: what may follow is told by the command and the number of arguments before.
Only names of objects and kinds are asked of neod, by ``neodctl completion objects``. shtab would do the static part,
but takes a dependency for three templates, and knows no names of objects.
"""

from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from neod.cli.command import REPLY_TIMEOUT_S, Command, Invocation
from neod.cli.exits import FINE
from neod.cli.registry import names, summary
from neod.control.client import ControlClient
from neod.control.errors import ControlError
from neod.control.verbs.objects import ObjectVerbs
from neod.control.verbs.status import StatusVerbs

ASKED: Final = {"OBJECT": "objects", "KIND": "kinds"}
FILES: Final = ("FILE", "DIR")


class Value(NamedTuple):
    """What an argument or the value of an option may be."""

    name: str  # FILE, DIR, OBJECT, KIND: known to the shells; empty: none
    choices: tuple[str, ...] = ()


class Flag(NamedTuple):
    names: tuple[str, ...]
    help: str
    value: Value


class Completions(NamedTuple):
    """What may follow one command; the front, with an empty name, is followed by a command."""

    name: str
    help: str
    options: tuple[Flag, ...]
    arguments: tuple[Value, ...]


def _arguments(parser: ArgumentParser) -> None:
    about = "a shell; or objects, kinds: the names that its script offers, one a line"
    parser.add_argument("shell", choices=(*SCRIPTS, *ASKED.values()), help=about)


def _completion(invocation: Invocation) -> int:
    """Print a completion script. For bash: `eval "$(neodctl completion bash)"`."""
    what = invocation.args.shell
    lines = SCRIPTS[what](tuple(_completions())) if what in SCRIPTS else _names(invocation, what)
    script = "".join(f"{line}\n" for line in lines)
    if invocation.args.json:
        invocation.print_json({"shell": what, "script": script})
    else:
        invocation.out.write(script)
    return FINE


def _names(invocation: Invocation, what: str) -> Iterable[str]:
    """Return the names that neod knows; none where it does not answer: a shell has no place for an error."""
    try:
        with invocation.client() as client:
            return dict.fromkeys(_kinds(client) if what == "kinds" else _objects(client))
    except ControlError:
        return ()


def _kinds(client: ControlClient) -> list[str]:
    return [one.kind for one in client.ask(ObjectVerbs.show, REPLY_TIMEOUT_S, "desired").value.resources]


def _objects(client: ControlClient) -> list[str]:
    status = client.ask(StatusVerbs.status, REPLY_TIMEOUT_S).value
    rows = (status.paths, status.forwards, status.namespaces)
    return [row.name for each in rows for row in each]


def _completions() -> Iterator[Completions]:
    from neod.cli.parser import front, parser_of

    yield _of("", "", front())._replace(arguments=(Value("COMMAND", names()),))
    for name in names():
        yield _of(name, summary(name), parser_of(name))


def _of(name: str, help_: str, parser: ArgumentParser) -> Completions:
    def value(action: Action) -> Value:
        unnamed = action.dest.upper() if action.option_strings else ""
        return Value(str(action.metavar or unnamed), tuple(map(str, action.choices or ())))

    actions = parser._actions  # argparse has no public way to ask what it parses
    options = [
        Flag(tuple(one.option_strings), one.help or "", Value("") if one.nargs == 0 else value(one))
        for one in actions
        if one.option_strings
    ]
    return Completions(name, help_, tuple(options), tuple(value(one) for one in actions if not one.option_strings))


def _with_value(commands: tuple[Completions, ...]) -> list[str]:
    """Return the options that the word after belongs to."""
    return sorted({name for each in commands for one in each.options if one.value.name for name in one.names})


def _places(commands: tuple[Completions, ...]) -> Iterator[tuple[str, Value]]:
    """Yield ``show/0`` for the first argument of ``show``, and what it may be."""
    return ((f"{each.name}/{number}", one) for each in commands for number, one in enumerate(each.arguments))


def _bash(commands: tuple[Completions, ...]) -> Iterator[str]:
    taking = "|".join(_with_value(commands))
    yield f"""\
_neodctl() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before command= place=0 i options=
    local -a ask=(neodctl)
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
        {taking})
            before=${{COMP_WORDS[i]}}
            [ "${{COMP_WORDS[i + 1]}}" = = ] && ((i++))
            ((i++))
            [ "$before" = --runtime-dir ] && ask+=("$before" "${{COMP_WORDS[i]}}") ;;
        -*) ;;
        *) if [ -n "$command" ]; then ((place++)); else command=${{COMP_WORDS[i]}}; fi ;;
        esac
    done
    before=${{COMP_WORDS[COMP_CWORD - 1]}}
    [ "$before" = = ] && before=${{COMP_WORDS[COMP_CWORD - 2]}}
    [ "$word" = = ] && word=
    case $command in"""
    for each in commands:
        options = " ".join(name for one in each.options for name in one.names)
        yield f"    {each.name or repr('')}) options='{options}' ;;"
    yield f"""\
    esac
    case $before in
    --runtime-dir) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    {taking}) return ;;
    esac
    case $word in -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word"); return ;; esac
    case $command/$place in"""
    for place, value in _places(commands):
        yield f"    {place}) {_bash_value(value)} ;;"
    yield """\
    *) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    esac
}
complete -F _neodctl neodctl"""


def _bash_value(value: Value) -> str:
    if value.name in FILES:
        return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word")'
    asked = f'$("${{ask[@]}}" completion {ASKED[value.name]} 2>/dev/null)' if value.name in ASKED else ""
    return f'mapfile -t COMPREPLY < <(compgen -W "{asked or " ".join(value.choices)}" -- "$word")'


def _zsh(commands: tuple[Completions, ...]) -> Iterator[str]:
    yield """\
#compdef neodctl
_neodctl_names() {
    local -a found
    found=(${(f)"$($neodctl_ask completion $1 2>/dev/null)"})
    compadd -a found
}
_neodctl() {
    local curcontext=$curcontext state line
    local -A opt_args
    local -i at=$words[(I)--runtime-dir]
    local -a neodctl_ask=(neodctl ${(M)words:#--runtime-dir=*})
    (( at && at + 1 < CURRENT )) && neodctl_ask+=(--runtime-dir "$words[at+1]")
    local -a commands=("""
    for each in commands[1:]:
        yield f"        {_quoted(each.name + ':' + each.help)}"
    yield "    )"
    front = " ".join(_zsh_options(commands[0]))
    yield f"    _arguments -C {front} '(-): :->command' '(-)*:: :->rest'"
    yield "    case $state in"
    yield "    command) _describe -t commands command commands ;;"
    yield "    rest) case $words[1] in"
    for each in commands[1:]:
        places = [_quoted(f"{number}:{_zsh_value(one)}") for number, one in enumerate(each.arguments, 1)]
        yield f"        {each.name}) _arguments {' '.join((*_zsh_options(each), *places))} ;;"
    yield "    esac ;;"
    yield "    esac"
    yield "}"
    yield '[ "$funcstack[1]" = _neodctl ] && _neodctl "$@" || compdef _neodctl neodctl'


def _zsh_options(each: Completions) -> Iterator[str]:
    for one in each.options:
        about = one.help.replace("[", "(").replace("]", ")")
        value = f":{_zsh_value(one.value)}" if one.value.name else ""
        alone = f"({' '.join(one.names)})"
        for name in one.names:
            takes = "=" if value and name.startswith("--") else ""
            yield _quoted(f"{alone}{name}{takes}[{about}]{value}")


def _zsh_value(value: Value) -> str:
    name = value.name.replace(":", "\\:") or "argument"
    if value.name in ASKED:
        return f"{name}: _neodctl_names {ASKED[name]}"  # after a space no word is put in between
    if value.name in FILES:
        return f"{name}:_files{' -/' if name == 'DIR' else ''}"
    return f"{name}:({' '.join(value.choices)})" if value.choices else f"{name}: "


def _fish(commands: tuple[Completions, ...]) -> Iterator[str]:
    yield f"""\
function __neodctl_place --description 'COMMAND/NUMBER of the argument under the cursor'
    set -l command ''
    set -l place 0
    set -l value 0
    for word in (commandline -opc)[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch $word
            case {" ".join(_with_value(commands))}
                set value 1
            case '-*'
            case '*'
                if test -n "$command"
                    set place (math $place + 1)
                else
                    set command $word
                end
        end
    end
    echo $command/$place
end
function __neodctl_names
    set -l words (commandline -opc)
    set -l ask (string match -- '--runtime-dir=*' $words)
    set -l at (contains -i -- --runtime-dir $words)
    and set ask --runtime-dir $words[(math $at + 1)]
    neodctl $ask completion $argv[1] 2>/dev/null
end
complete -c neodctl -f"""
    for each in commands:
        here = f"-n 'string match -q -- \"{each.name}/*\" (__neodctl_place)'"
        for one in each.options:
            spelled = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in one.names)
            takes = {"": "", "DIR": " -x -a '(__fish_complete_directories)'"}.get(one.value.name, " -x")
            yield f"complete -c neodctl {here} {spelled}{takes} -d {_quoted(one.help)}"
    for each in commands[1:]:
        yield f"complete -c neodctl -n 'test (__neodctl_place) = /0' -a {each.name} -d {_quoted(each.help)}"
    for place, value in _places(commands[1:]):
        yield f"complete -c neodctl -n 'test (__neodctl_place) = {place}' {_fish_value(value)}"


def _fish_value(value: Value) -> str:
    if value.name in ASKED:
        return f"-a '(__neodctl_names {ASKED[value.name]})'"
    return "-F" if value.name in FILES else f"-a '{' '.join(value.choices)}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


Script = Callable[[tuple[Completions, ...]], Iterator[str]]
SCRIPTS: Final[dict[str, Script]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}

COMMAND: Final = Command(_completion, _arguments)
