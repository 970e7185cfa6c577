"""The calls of one client: parsed, allowed, answered; one after the other."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Final

import structlog
from asyncvarlink import VarlinkErrorReply, VarlinkInterfaceRegistry, VarlinkMethodCall
from asyncvarlink.conversion import ConversionError
from asyncvarlink.interface import VarlinkMethodSignature
from asyncvarlink.serviceerrors import InterfaceNotFound, InvalidParameter, MethodNotFound
from asyncvarlink.types import validate_interface

from neod.control.codec import encode
from neod.control.errors import ControlError, InternalError, NotAllowed
from neod.control.peer import Peer
from neod.control.stream import Dropped, Stream
from neod.control.varlink import NAME, VERBS
from neod.control.verb import Right

MOST_BRACKETS: Final = 64
"""Opening brackets in one request, nested or not; ours have two. json recurses per level."""

FIELDS: Final = {"method": str, "parameters": dict, "oneway": bool, "more": bool, "upgrade": bool}
"""Of a call, with their types."""

log = structlog.get_logger("neod.control")


def envelope(frame: bytes) -> dict[str, Any]:
    """Return the fields of the call in *frame*; what is null is left out, here and among the parameters.

    Raises:
        Dropped: it holds something else.
    """
    if frame.count(b"[") + frame.count(b"{") > MOST_BRACKETS:
        raise Dropped("nested too deeply")
    try:
        fields = json.loads(frame.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise Dropped(f"not a call: {str(exc)[:200]}") from exc
    if not isinstance(fields, dict):
        raise Dropped("not a call: no object")
    given = _not_null(fields)
    if isinstance(given.get("parameters"), dict):
        given["parameters"] = _not_null(given["parameters"])
    return given


def _not_null(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def parse(fields: dict[str, Any]) -> VarlinkMethodCall:
    """Return the call that *fields* make; fields that Varlink does not know are ignored.

    Raises:
        VarlinkErrorReply: a field is unsound, or there can be no such method.
    """
    for name, kind in FIELDS.items():
        if not isinstance(fields.get(name, kind()), kind):
            raise InvalidParameter(parameter=name)
    if not fields.get("method"):
        raise InvalidParameter(parameter="method")
    for name, unsound in (("upgrade", True), ("more", fields.get("oneway"))):  # there is nothing to upgrade to
        if unsound and fields.get(name):
            raise InvalidParameter(parameter=name)
    interface, _, method = fields["method"].rpartition(".")
    try:
        validate_interface(interface)
    except ValueError:
        raise InterfaceNotFound(interface=interface) from None
    try:
        return VarlinkMethodCall.fromjson(fields)
    except ValueError:
        raise MethodNotFound(method=method) from None


class ClientConnection:
    """Answers one client until it disconnects or exceeds a limit. asyncvarlink looks up methods and checks types."""

    def __init__(
        self, stream: Stream, peer: Peer, registry: VarlinkInterfaceRegistry, writers: int | None, turn: asyncio.Lock
    ) -> None:
        """Take what all connections share: *registry*, the gid of *writers*, and the *turn* to be answered."""
        self._stream, self._peer = stream, peer
        self._registry, self._writers, self._turn = registry, writers, turn

    async def run(self) -> None:
        """Serve until the client is done; nothing but cancellation comes out of it."""
        try:
            while (frame := await self._stream.receive()) is not None:
                async with self._turn:
                    await asyncio.sleep(0)  # one call in a turn of the loop, of all clients together
                await self._answer(envelope(frame))
        except Dropped as exc:
            log.debug("control client dropped", uid=self._peer.uid, pid=self._peer.pid, why=str(exc))
        finally:
            self._stream.abort()

    async def _answer(self, fields: dict[str, Any]) -> None:
        oneway = fields.get("oneway") is True
        try:
            async with aclosing(self._replies(parse(fields))) as replies:
                async for reply in replies:
                    await self._send(reply, oneway)
        except Dropped:
            raise
        except VarlinkErrorReply as exc:
            await self._send(exc.tojson(), oneway)
        except ControlError as exc:
            await self._send(_refusal(exc), oneway)
        except Exception:  # the top of this client's task: whatever went wrong in one call, others go on
            error = InternalError(uuid.uuid4().hex[:8])
            log.exception("control call failed", method=fields["method"], reference=error.reference)
            await self._send(_refusal(error), oneway)

    async def _send(self, reply: dict[str, Any], oneway: bool) -> None:
        if not oneway:
            await self._stream.send(encode(reply))

    async def _replies(self, call: VarlinkMethodCall) -> AsyncGenerator[dict[str, Any], None]:
        method, signature = self._registry.lookup_method(call)
        arguments = _arguments(signature, call)
        verb = VERBS.get(call.method_name) if call.method_interface == NAME else None
        if verb:
            self._check(verb.name, verb.right_for(arguments))
        if verb and verb.ends_with_caller and (task := asyncio.current_task()):
            self._stream.watch(task.cancel)
        try:
            if signature.more:
                async for result in method(**arguments):
                    yield (
                        {"continues": True, "parameters": result.parameters}
                        if result.continues
                        else {"parameters": result.parameters}
                    )
            else:
                result = method(**arguments)
                yield {"parameters": (await result if signature.asynchronous else result).parameters}
        finally:
            self._stream.watch(None)

    def _check(self, name: str, right: Right) -> None:
        if right is Right.READ:
            return
        if not self._peer.may(right, self._writers):
            log.warning("control call refused", method=name, uid=self._peer.uid, pid=self._peer.pid)
            raise NotAllowed(name, self._peer.uid)
        log.info("control call", method=name, uid=self._peer.uid, pid=self._peer.pid)


def _arguments(signature: VarlinkMethodSignature, call: VarlinkMethodCall) -> dict[str, Any]:
    try:
        arguments = dict(signature.parameter_type.fromjson(call.parameters))
    except ConversionError as exc:
        raise InvalidParameter(parameter=str(exc.location[0]) if exc.location else "parameters") from exc
    for name, value in call.parameters.items():
        if isinstance(value, bool) and not isinstance(arguments.get(name), bool):  # to Python, true is a number
            raise InvalidParameter(parameter=name)
    return arguments


def _refusal(error: ControlError) -> dict[str, Any]:
    return {"error": f"{NAME}.{type(error).__name__}", "parameters": asdict(error)}
