"""The Varlink interface: methods, their types, and which of them write.

Introspection (``varlinkctl introspect``) is generated from the annotations of
``replies`` and ``errors``, so neither can drift from what is sent. What comes
in is checked here; a ``Control`` sees only sound arguments.

A change that breaks a reader gets a new interface, ``Control2``, beside this.
"""

import dataclasses
import math
from collections.abc import AsyncIterator, Mapping
from functools import cache
from ipaddress import ip_address
from types import NoneType, UnionType
from typing import Any, Final, TypedDict

from asyncvarlink import LastResult, TypedVarlinkErrorReply, VarlinkInterface, varlinkmethod
from asyncvarlink.serviceerrors import InvalidParameter

from neod.control.errors import ERRORS, ControlError
from neod.control.replies import (
    ApplyReply,
    ConfirmReply,
    DoctorReply,
    EventsReply,
    LeasesReply,
    ModeReply,
    PathsReply,
    PlanReply,
    ReloadReply,
    ShowReply,
    StatusReply,
    WaitReply,
    WhyReply,
)
from neod.control.service import Control

NAME: Final = "org.neo.Control1"

LONGEST_TEXT: Final = 4096  # bytes; PATH_MAX, and no key comes near
LONGEST_SPAN_S: Final = 366 * 86400.0

ENDLESS: Final = frozenset({"Wait", "Events"})
"""Methods that end when their caller hangs up; any other is finished for nobody."""


def writes(method: str, parameters: Mapping[str, object]) -> bool:
    """Whether a call needs the right to write.

    ``Plan`` of a named file is among them: it makes a root process open that
    file and quote from it. So is ``Doctor`` of a named server: it connects.
    """
    if method == "Plan":
        return parameters.get("file") is not None
    if method == "Doctor":
        return parameters.get("server") is not None
    return method in {"Apply", "Reload", "Confirm", "Pause", "Resume", "Down"}


@cache
def _shadow(cls: type) -> type:
    return dataclasses.make_dataclass(cls.__name__, [(f.name, _varlink(f.type)) for f in dataclasses.fields(cls)])


def _varlink(kind: Any) -> Any:
    """Return *kind* in the words of asyncvarlink, which has lists and dicts, no tuples or Mappings."""
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


def _text(name: str, value: str | None) -> str | None:
    """Return *value* if it can be a name or a path: short, printable, encodable."""
    if value is not None and (not value or len(value) > LONGEST_TEXT or not value.isprintable()):
        raise InvalidParameter(parameter=name)
    return value


def _span(name: str, value: float | None, least: float = 0.0) -> float | None:
    """Return *value* if it is a sensible number of seconds."""
    if value is not None and not (math.isfinite(value) and least <= value <= LONGEST_SPAN_S):
        raise InvalidParameter(parameter=name)
    return value


def _server(value: str) -> tuple[str, int]:
    """Return an address and a port: "192.0.2.1:443", "[2001:db8::1]:443"."""
    host, _, port = value.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidParameter(parameter="server") from None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise InvalidParameter(parameter="server")
    return str(address), int(port)


class ControlInterface(VarlinkInterface, name=NAME):
    """Ask and direct neod. Durations are seconds; instants are ISO 8601 or seconds since the epoch."""

    errors = tuple(_typed_error(cls) for cls in ERRORS)

    def __init__(self, control: Control) -> None:
        self._control = control

    @varlinkmethod(return_type=_flat(StatusReply))
    async def Status(self, *, object: str | None = None) -> StatusReply:
        """The state of everything, or of one object, after the last pass."""
        return await self._control.status(_text("object", object))

    @varlinkmethod(return_type=_flat(PlanReply))
    async def Diff(self) -> PlanReply:
        """What separates the kernel from the file."""
        return await self._control.diff()

    @varlinkmethod(return_type=_flat(PlanReply))
    async def Plan(self, *, file: str | None = None) -> PlanReply:
        """What a pass would do, with the file in use or another one. Changes nothing."""
        if file is not None and not file.startswith("/"):
            raise InvalidParameter(parameter="file")
        return await self._control.plan(_text("file", file))

    @varlinkmethod(return_type=_flat(ApplyReply))
    async def Apply(self) -> ApplyReply:
        """One full pass, now. For writers."""
        return await self._control.apply()

    @varlinkmethod(return_type=_flat(ReloadReply))
    async def Reload(self, *, confirm_s: float | None = None) -> ReloadReply:
        """Read the file again; with confirm_s it is undone unless Confirm follows in time. For writers."""
        return await self._control.reload(_span("confirm_s", confirm_s, least=0.001))

    @varlinkmethod(return_type=_flat(ConfirmReply))
    async def Confirm(self) -> ConfirmReply:
        """Keep what the last Reload brought. For writers."""
        return await self._control.confirm()

    @varlinkmethod(return_type=_flat(ShowReply))
    async def Show(self, *, which: str, kind: str | None = None) -> ShowReply:
        """The resources, "desired" or "observed", of one kind or all."""
        if which not in ("desired", "observed"):
            raise InvalidParameter(parameter="which")
        return await self._control.show(which, _text("kind", kind))

    @varlinkmethod(return_type=_flat(LeasesReply))
    async def Leases(self) -> LeasesReply:
        """Every DHCP client."""
        return await self._control.leases()

    @varlinkmethod(return_type=_flat(PathsReply))
    async def Paths(self) -> PathsReply:
        """Every MPTCP connection with its subflows, read from their sockets now."""
        return await self._control.paths()

    @varlinkmethod(return_type=_flat(DoctorReply))
    async def Doctor(self, *, server: str | None = None) -> DoctorReply:
        """What kernel and host allow, with evidence and remedy; with a server, connect to it too. For writers then."""
        return await self._control.doctor(None if server is None else _server(server))

    @varlinkmethod(return_type=_flat(WhyReply))
    async def Why(self, *, object: str) -> WhyReply:
        """Why one object is as it is."""
        return await self._control.why(_text("object", object) or "")

    @varlinkmethod(return_type=_flat(EventsReply), delay_generator=False)
    async def Events(self, *, since: float | None = None, follow: bool = False) -> AsyncIterator[EventsReply]:
        """What happened, oldest first; with follow also what will. Call with "more"."""
        if since is not None and not math.isfinite(since):
            raise InvalidParameter(parameter="since")
        async for batch in self._control.events(since, follow):
            yield EventsReply(tuple(batch))
        raise LastResult(EventsReply())

    @varlinkmethod(return_type=_flat(WaitReply))
    async def Wait(self, *, any: bool = False, timeout_s: float = 120.0) -> WaitReply:
        """Answer when everything is converged, or with any when one path is."""
        return await self._control.wait(any, _span("timeout_s", timeout_s) or 0.0)

    @varlinkmethod(return_type=_flat(ModeReply))
    async def Pause(self, *, for_s: float | None = None) -> ModeReply:
        """Observe and report, change nothing. For writers."""
        return await self._control.pause(_span("for_s", for_s, least=0.001))

    @varlinkmethod(return_type=_flat(ModeReply))
    async def Resume(self) -> ModeReply:
        """Change again. For writers."""
        return await self._control.resume()

    @varlinkmethod(return_type=_flat(ApplyReply))
    async def Down(self) -> ApplyReply:
        """Remove everything owned. For writers."""
        return await self._control.down()
