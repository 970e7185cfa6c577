"""``python tools/verb_table.py docs/control.md``: the verbs of the control socket, from their declarations."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neod.cli.registry import command_of, names
from neod.control.varlink import NAME, VERBS
from neod.control.verb import Parameter, Verb, verb_of

TOP = f"""# The control socket, verb by verb

Made by `make docs` from the declarations in `src/neod/control/verbs`; `varlinkctl introspect /run/neo/neod.sock` shows
the replies field by field. The interface is `{NAME}`. Who has which right: [operate.md](operate.md), "Access control".
What is null is as what is not there. An unsound call is answered by `org.varlink.service.InvalidParameter` with the
name of the field or parameter, and the connection stays; there is nothing to `upgrade` to. What is no JSON object is
answered by hanging up.

| verb | right | reply | errors | `neodctl` | is |
| --- | --- | --- | --- | --- | --- |"""

BOTTOM = """
Errors of every verb: `NotAllowed`, `Overrun` (too many connections), `InternalError` (a bug; the log has the details),
and those of Varlink itself, `org.varlink.service.InvalidParameter` among them."""


def signature(verb: Verb) -> str:
    """Return the verb as it is called."""
    return f"`{verb.name}({', '.join(map(_parameter, verb.parameters))})`"


def _parameter(parameter: Parameter) -> str:
    type_name = (
        str(getattr(parameter.type, "__name__", parameter.type)).removesuffix(" | None").replace("str", "string")
    )
    if parameter.required:
        return f"{parameter.name}: {type_name}"
    default = "" if parameter.default is None else f" = {str(parameter.default).lower()}"
    return f"{parameter.name}: ?{type_name}{default}"


def right(verb: Verb) -> str:
    """Return the right that a call needs."""
    return f"{verb.right}; write with `{verb.write_if}`" if verb.write_if else str(verb.right)


def commands() -> dict[str, str]:
    """Return the command of each verb that has one."""
    called: dict[str, Any] = {name: command_of(name).verb for name in names()}
    return {verb_of(verb).name: name for name, verb in called.items() if verb is not None}


def lines() -> Iterator[str]:
    """Yield the document."""
    yield TOP
    by_verb = commands()
    for verb in VERBS.values():
        reply = f"{verb.reply.__name__}, a stream" if verb.streams else verb.reply.__name__
        errors = ", ".join(error.__name__ for error in verb.errors)
        command = f"`{by_verb[verb.name]}`" if verb.name in by_verb else ""
        yield f"| {signature(verb)} | {right(verb)} | {reply} | {errors} | {command} | {verb.about} |"
    yield BOTTOM


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(lines()) + "\n")
