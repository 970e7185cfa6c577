"""How a verb is declared: as a method of a Protocol, with its types, checks, right, errors and text.

The method is all there is to say: the daemon implements it, and mypy compares;
the Varlink interface (``varlink``), the access check (``connection``), the
client's call (``client``), ``neodctl`` and the documents are derived from it.
Its parameters have the types of the wire, with ``Annotated`` checks. The first
paragraph of its docstring is what introspection shows; what follows is the
promise to those who implement and call it.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from enum import StrEnum
from inspect import cleandoc
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from neod.control.errors import ControlError

LONGEST_TEXT: Final = 4096  # characters; PATH_MAX, and no key comes near
LONGEST_SPAN_S: Final = 366 * 86400.0

F = TypeVar("F", bound=Callable[..., Any])


class Right(StrEnum):
    """What a caller needs for a call. Root and our own user have all of them."""

    READ = "read"  # every peer that may connect: groups neo-read and neo
    PROPOSE = "propose"  # submit what is checked by its signature; no verb needs it yet
    WRITE = "write"  # group neo


# Named tuples are made in a seventh of the time of a dataclass: ``neodctl`` makes these at its start.


class Parameter(NamedTuple):
    """One parameter of a verb."""

    name: str
    type: Any  # of the wire; with None where it may be absent
    required: bool
    default: object
    check: Callable[[Any], object] | None  # raises ValueError


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
    right: Right,
    *errors: type[ControlError],
    write_if: str = "",
    ends_with_caller: bool = False,
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
    absent = len(names) - len(defaults)
    for number, name in enumerate(names):
        annotation = method.__annotations__[name]
        required = number < absent
        inner, optional = _without_none(annotation)
        check = next(iter(getattr(inner, "__metadata__", ())), None)
        plain = inner.__origin__ if check else inner
        default = None if required else defaults[number - absent]
        yield Parameter(name, plain | None if optional else plain, required, default, check)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return *annotation* without ``| None``, and whether it had that."""
    alternatives = getattr(annotation, "__args__", ()) if type(None) in getattr(annotation, "__args__", ()) else ()
    return next((each for each in alternatives if each is not type(None)), annotation), bool(alternatives)


# What a parameter may be. Each of these accepts any value of its type, and raises ValueError on a wrong one.


def _text(value: str) -> None:
    if not value or len(value) > LONGEST_TEXT or not value.isprintable():
        raise ValueError("not a short, printable, encodable text")


def _path(value: str) -> None:
    _text(value)
    if not value.startswith("/"):
        raise ValueError("not an absolute path")


def _seconds(value: float) -> None:
    if not (math.isfinite(value) and 0.0 <= value <= LONGEST_SPAN_S):
        raise ValueError("not a sensible number of seconds")


def _positive_seconds(value: float) -> None:
    _seconds(value)
    if value < 0.001:
        raise ValueError("less than a millisecond")


def _finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError("not a number")


def _server(value: str) -> None:
    address_and_port(value)


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


def one_of(*values: str) -> Callable[[str], None]:
    """Return the check that a text is one of *values*."""

    def check(value: str) -> None:
        if value not in values:
            raise ValueError(f"not one of {values}")

    return check


Text = Annotated[str, _text]
Path = Annotated[str, _path]
Seconds = Annotated[float, _seconds]
PositiveSeconds = Annotated[float, _positive_seconds]
Instant = Annotated[float, _finite]  # seconds since the epoch
Server = Annotated[str, _server]
