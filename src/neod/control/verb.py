"""How a verb is declared: as a method of a Protocol, with its types, checks, right, errors and text.

The method is all there is to say: the daemon implements it, and mypy compares; the Varlink interface (``varlink``), the
access check (``connection``), the client's call (``client``), ``neodctl`` and the documents are derived from it. Its
parameters have the types of the wire, with ``Annotated`` checks. The first paragraph of its docstring is what
introspection shows; what follows is the promise to those who implement and call it.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from enum import StrEnum
from inspect import cleandoc
from math import isfinite
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from neod.control.errors import ControlError

LONGEST_TEXT: Final = 4096  # characters; PATH_MAX, and no key comes near
LONGEST_SPAN_S: Final = 366 * 86400.0

DISPENSABLE: Final = "dispensable"
"""Mark of a parameter that only adds to the answer: what came after a release, and a client sends unasked."""

F = TypeVar("F", bound=Callable[..., Any])
Check = Callable[[Any], bool]


class Right(StrEnum):
    """What a caller needs for a call. Root and our own user have all of them."""

    READ = "read"  # every peer that may connect: groups neo-read and neo
    PROPOSE = "propose"  # submit what is checked by its signature; no verb needs it yet
    WRITE = "write"  # group neo


# Named tuples are made in a seventh of the time of a dataclass: ``neodctl`` makes these at its start.


class Parameter(NamedTuple):
    name: str
    type: Any  # of the wire; with None where it may be absent
    required: bool
    default: object
    sound: Check  # whether a value of that type may be
    dispensable: bool = False  # a daemon of a version without it is asked without it


class Verb(NamedTuple):
    """The declaration of one verb, as data."""

    name: str  # on the wire: "Status"
    method: str  # of the Protocol: "status"
    about: str  # in one sentence
    parameters: tuple[Parameter, ...]
    reply: Any  # a dataclass; of a stream, of each of its replies
    streams: bool
    right: Right
    write_if: str  # the parameter that, if given, makes the call need the right to write
    ends_with_caller: bool  # cancelled when its caller disconnects; any other runs to its end
    errors: tuple[type[ControlError], ...]

    def right_for(self, arguments: Mapping[str, object]) -> Right:
        """Return the right that a call with *arguments* needs."""
        return Right.WRITE if self.write_if and arguments.get(self.write_if) is not None else self.right

    def named(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments of a call by name."""
        return dict(zip((parameter.name for parameter in self.parameters), args, strict=False)) | dict(kwargs)


def verb(
    right: Right, *errors: type[ControlError], write_if: str = "", ends_with_caller: bool = False
) -> Callable[[F], F]:
    """Declare the decorated method as a verb that may end in *errors*."""

    def declare(method: F) -> F:
        result = method.__annotations__["return"]
        streams = getattr(result, "__origin__", None) is AsyncIterator
        vars(method)["verb"] = Verb(
            name="".join(map(str.capitalize, method.__name__.split("_"))),
            method=method.__name__,
            about=cleandoc(method.__doc__ or "").partition("\n\n")[0],
            parameters=tuple(_parameters(method)),
            reply=result.__args__[0] if streams else result,
            streams=streams,
            right=right,
            write_if=write_if,
            ends_with_caller=ends_with_caller or streams,
            errors=errors,
        )
        return method

    return declare


def verb_of(method: Callable[..., object]) -> Verb:
    """Return the declaration of *method*.

    Raises:
        KeyError: it is no verb.
    """
    declared: Verb = vars(method)["verb"]
    return declared


def verbs_of(protocol: type) -> tuple[Verb, ...]:
    """Return the verbs of *protocol*, by name."""
    methods = (getattr(protocol, name) for name in dir(protocol))
    return tuple(vars(method)["verb"] for method in methods if "verb" in getattr(method, "__dict__", ()))


def _parameters(method: Callable[..., object]) -> Iterator[Parameter]:
    code, defaults = method.__code__, method.__defaults__ or ()
    names = code.co_varnames[1 : code.co_argcount]
    required = len(names) - len(defaults)
    for number, name in enumerate(names):
        inner, optional = _without_none(method.__annotations__[name])
        check, *marks = getattr(inner, "__metadata__", (None,))
        plain = inner.__origin__ if check else inner
        type_, default = plain | None if optional else plain, None if number < required else defaults[number - required]
        yield Parameter(name, type_, number < required, default, check or (lambda value: True), DISPENSABLE in marks)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return *annotation* without ``| None``, and whether it had that."""
    alternatives = getattr(annotation, "__args__", ())
    if type(None) not in alternatives:
        return annotation, False
    return next(each for each in alternatives if each is not type(None)), True


# What a value of a parameter may be, beside its type.


def _short_text(value: str) -> bool:
    return 0 < len(value) <= LONGEST_TEXT and value.isprintable()


def _server(value: str) -> bool:
    try:
        return bool(address_and_port(value))
    except ValueError:
        return False


def address_and_port(text: str) -> tuple[str, int]:
    """Return the parts of ``192.0.2.1:443`` or ``[2001:db8::1]:443``.

    Raises:
        ValueError: *text* is something else. Names are not looked up, since each has many addresses.
    """
    from ipaddress import ip_address

    host, _, port = text.rpartition(":")
    address = ip_address(host.removeprefix("[").removesuffix("]"))
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError("not a port")
    return str(address), int(port)


def one_of(*values: str) -> Check:
    """Return the check that a text is one of *values*."""
    return values.__contains__


Text = Annotated[str, _short_text]
Remark = Annotated[str, _short_text, DISPENSABLE]
Path = Annotated[str, lambda value: _short_text(value) and value.startswith("/")]
Seconds = Annotated[float, lambda value: 0.0 <= value <= LONGEST_SPAN_S]
PositiveSeconds = Annotated[float, lambda value: 0.001 <= value <= LONGEST_SPAN_S]
Instant = Annotated[float, isfinite]  # seconds since the epoch
Server = Annotated[str, _server]
