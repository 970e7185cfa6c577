"""The Varlink interface, made from the declarations of the verbs.

Introspection (``varlinkctl introspect``) shows methods, replies and errors as they are declared, so none can drift from
what is sent. What comes in is checked here; the daemon sees only sound arguments.

A change that breaks a reader gets a new interface, ``Control2``, beside this.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import cache
from inspect import Parameter as Argument
from inspect import Signature
from types import NoneType, UnionType
from typing import Any, Final, TypedDict, cast

from asyncvarlink import LastResult, TypedVarlinkErrorReply, VarlinkInterface, varlinkmethod
from asyncvarlink.serviceerrors import InvalidParameter

from neod.control.errors import ERRORS, ControlError
from neod.control.service import ControlService
from neod.control.verb import Parameter, Right, Verb, verbs_of

NAME: Final = "org.neo.Control1"
VERBS: Final = {verb.name: verb for verb in verbs_of(ControlService)}


@cache
def _shadow(cls: type) -> type:
    return dataclasses.make_dataclass(cls.__name__, [(f.name, _varlink(f.type)) for f in dataclasses.fields(cls)])


def _varlink(kind: Any) -> Any:
    """Return *kind* as asyncvarlink spells it: it has lists and dicts, no tuples or Mappings."""
    if isinstance(kind, UnionType):
        return _varlink(next(arg for arg in kind.__args__ if arg is not NoneType)) | None
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        return list[_varlink(kind.__args__[0])]  # type: ignore[misc]
    if origin is not None and issubclass(origin, Mapping):
        return dict[str, _varlink(kind.__args__[1])]  # type: ignore[misc]
    if dataclasses.is_dataclass(kind):
        return _shadow(kind)  # type: ignore[arg-type]
    return kind


def _flat(cls: type) -> Any:
    """Return the fields of a reply as the return parameters of a method."""
    make: Any = TypedDict
    return make(cls.__name__, {f.name: _varlink(f.type) for f in dataclasses.fields(cls)})


def _typed_error(cls: type[ControlError]) -> type[TypedVarlinkErrorReply]:
    parameters = type(
        "Parameters", (), {"__annotations__": {f.name: _varlink(f.type) for f in dataclasses.fields(cls)}}
    )
    body = {"__doc__": cls.__doc__, "Parameters": parameters}
    return type(cls.__name__, (TypedVarlinkErrorReply,), body, interface=NAME)


def _checked(verb: Verb, arguments: Mapping[str, Any]) -> list[Any]:
    """Return a value for each parameter, in order.

    Raises:
        InvalidParameter: with the name of the first that is unsound.
    """
    values = [arguments.get(parameter.name, parameter.default) for parameter in verb.parameters]
    for parameter, value in zip(verb.parameters, values, strict=True):
        if value is not None and not parameter.sound(value):
            raise InvalidParameter(parameter=parameter.name)
    return values


def _method(verb: Verb) -> Callable[..., Any]:
    """Return the method of the interface that calls the verb's."""

    async def once(self: Any, **arguments: Any) -> Any:
        return await getattr(self._service, verb.method)(*_checked(verb, arguments))

    async def stream(self: Any, **arguments: Any) -> AsyncIterator[Any]:
        async with aclosing(getattr(self._service, verb.method)(*_checked(verb, arguments))) as replies:
            async for reply in replies:
                yield reply
        raise LastResult(verb.reply())

    method = cast(Any, stream if verb.streams else once)
    method.__name__, method.__doc__ = verb.name, _about(verb)
    method.__signature__ = Signature(
        [Argument("self", Argument.POSITIONAL_ONLY), *map(_argument, verb.parameters)],
        return_annotation=AsyncIterator[Any] if verb.streams else Any,
    )
    return varlinkmethod(method, return_type=_flat(verb.reply), delay_generator=False)


def _about(verb: Verb) -> str:
    return f"{verb.about} For writers." if verb.right is Right.WRITE else verb.about


def _argument(parameter: Parameter) -> Argument:
    default = Argument.empty if parameter.required else parameter.default
    return Argument(parameter.name, Argument.KEYWORD_ONLY, default=default, annotation=parameter.type)


class _Adapter(VarlinkInterface, name=NAME):
    """Ask and direct neod. Durations are seconds; instants are ISO 8601 or seconds since the epoch."""

    errors = tuple(map(_typed_error, ERRORS))

    def __init__(self, service: ControlService) -> None:
        self._service = service


VarlinkAdapter: Final[Any] = type(
    "VarlinkAdapter", (_Adapter,), {"__doc__": _Adapter.__doc__} | {verb.name: _method(verb) for verb in VERBS.values()}
)
"""The interface on a ``ControlService``."""
