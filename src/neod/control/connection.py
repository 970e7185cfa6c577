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
from asyncvarlink.serviceerrors import InvalidParameter

from neod.control.codec import encode
from neod.control.errors import ControlError, InternalError, NotAllowed
from neod.control.peer import Peer
from neod.control.stream import Dropped, Stream
from neod.control.varlink import NAME, VERBS
from neod.control.verb import Right

MOST_BRACKETS: Final = 64
"""Opening brackets in one request, nested or not; ours have two. json recurses per level."""

log = structlog.get_logger("neod.control")


def parse(frame: bytes) -> VarlinkMethodCall:
    """Return the call in *frame*.

    Raises:
        Dropped: it holds something else.
    """
    if frame.count(b"[") + frame.count(b"{") > MOST_BRACKETS:
        raise Dropped("nested too deeply")
    try:
        call = VarlinkMethodCall.fromjson(json.loads(frame.decode("utf-8")))
    except (ValueError, TypeError, RecursionError) as exc:
        raise Dropped(f"not a call: {str(exc)[:200]}") from exc
    if call.upgrade:
        raise Dropped("there is nothing to upgrade to")
    return call


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
                await self._answer(parse(frame))
        except Dropped as exc:
            log.debug("control client dropped", uid=self._peer.uid, pid=self._peer.pid, why=str(exc))
        finally:
            self._stream.abort()

    async def _answer(self, call: VarlinkMethodCall) -> None:
        try:
            async with aclosing(self._replies(call)) as replies:
                async for reply in replies:
                    await self._send(call, reply)
        except Dropped:
            raise
        except VarlinkErrorReply as exc:
            await self._send(call, exc.tojson())
        except ControlError as exc:
            await self._send(call, _refusal(exc))
        except Exception:  # the top of this client's task: whatever went wrong in one call, others go on
            error = InternalError(uuid.uuid4().hex[:8])
            log.exception("control call failed", method=call.method, reference=error.reference)
            await self._send(call, _refusal(error))

    async def _send(self, call: VarlinkMethodCall, reply: dict[str, Any]) -> None:
        if not call.oneway:
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
        return dict(signature.parameter_type.fromjson(call.parameters))
    except ConversionError as exc:
        raise InvalidParameter(parameter=str(exc.location[0]) if exc.location else "parameters") from exc


def _refusal(error: ControlError) -> dict[str, Any]:
    return {"error": f"{NAME}.{type(error).__name__}", "parameters": asdict(error)}
