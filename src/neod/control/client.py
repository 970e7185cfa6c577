"""The client's end of the control socket, as small as Varlink allows.

asyncvarlink's client needs asyncio: 130 ms of CPU to import, most of what ``neodctl status`` may take in all. One call
at a time over a blocking socket needs neither. A call is typed by the declaration of its verb:
``client.ask(StatusVerbs.status, 30.0, object="neo3")``. Not for: use on an event loop.
"""

import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from neod.control import errors
from neod.control.address import SOCKET, bindable
from neod.control.call import PREFIX, RawReply, ReplyBuffer, request
from neod.control.codec import ControlReply, decode
from neod.control.verb import Verb, verb_of

UNSOUND: Final = "org.varlink.service.InvalidParameter"
"""What asyncvarlink says of a parameter that the daemon does not know, as of one with a value that may not be."""

CHUNK_BYTES: Final = 256 * 1024

P = ParamSpec("P")
R = TypeVar("R")


class NoDaemon(errors.ControlError):
    """No process listens on the control socket."""


class NoAccess(errors.ControlError):
    """The file mode of the control socket does not let us connect."""


class NoAnswer(errors.ControlError):
    """The daemon accepted the call, then neither replied nor closed the connection in time."""


@dataclass(eq=False)
class Foreign(errors.ControlError):
    """An error that is not of our interface: the daemon is of another version."""

    reason: str
    unknown: str = ""  # the parameter that it does not know, or not so

    def __str__(self) -> str:
        return self.reason


class ControlClient:
    """One connection to neod. Use it in a ``with`` statement."""

    def __init__(self, runtime_dir: str) -> None:
        """Connect.

        Raises:
            NoDaemon, NoAccess: with the path and what to do.
        """
        self._path = f"{runtime_dir}/{SOCKET}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = ReplyBuffer()
        try:
            with bindable(self._path) as name:
                self._socket.connect(name)
        except PermissionError as exc:
            raise NoAccess(
                f"{self._path}: permission denied; root and members of the groups neo and neo-read may connect"
            ) from exc
        except OSError as exc:
            why = f"{self._path}: {exc.strerror or exc}"
            raise NoDaemon(
                f"neod is not running: {why}; systemctl status neod says why (--runtime-dir names another)"
            ) from exc

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self,
        verb: Callable[Concatenate[Any, P], Awaitable[R]],
        within_s: float | None,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> ControlReply[R]:
        """Return the reply of a verb; raises as ``call`` does."""
        declared = verb_of(verb)
        raw = self._call_any_version(declared, within_s, declared.named(args, kwargs))
        return ControlReply(raw, decode(declared.reply, raw))

    def _call_any_version(self, declared: Verb, within_s: float | None, given: dict[str, object]) -> dict[str, Any]:
        """Return the reply, also of a daemon that was started before the package was upgraded."""
        try:
            return self.call(declared.name, within_s, **given)
        except Foreign as error:
            less = {p.name: None for p in declared.parameters if p.dispensable and p.name == error.unknown}
            if not less or given.get(error.unknown) is None:
                raise
            return self._call_any_version(declared, within_s, given | less)

    def follow(
        self, verb: Callable[Concatenate[Any, P], AsyncIterator[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[ControlReply[R]]:
        """Yield the replies of a verb that streams; raises as ``call`` does."""
        declared = verb_of(verb)
        for raw in self.stream(declared.name, **declared.named(args, kwargs)):
            yield ControlReply(raw, decode(declared.reply, raw))

    def call(self, method: str, within_s: float | None, **parameters: object) -> dict[str, Any]:
        """Return the reply of *method*; parameters that are None are left out.

        Args:
            within_s: how long the daemon may take; None: indefinitely.

        Raises:
            ControlError: any of ``neod.control.errors``, or of this module.
        """
        return next(self._replies(method, within_s, parameters, more=False))

    def stream(self, method: str, **parameters: object) -> Iterator[dict[str, Any]]:
        """Yield the replies of *method* as they come; raises as ``call`` does."""
        return self._replies(method, None, parameters, more=True)

    def _replies(
        self, method: str, within_s: float | None, parameters: dict[str, object], more: bool
    ) -> Iterator[dict[str, Any]]:
        self._socket.settimeout(within_s)
        self._send(request(method, parameters, more))
        continues = True
        while continues:
            found, error, continues = self._reply()
            if error:
                raise _error(error, found)
            yield found

    def _send(self, call: bytes) -> None:
        try:
            self._socket.sendall(call)
        except TimeoutError as exc:
            raise NoAnswer("neod does not take the call; systemctl status neod says how it is") from exc
        except OSError as exc:
            if exc.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise
            # Refused before we sent the call: the reason is in what we receive.

    def _reply(self) -> RawReply:
        while (reply := self._buffer.take()) is None:
            try:
                chunk = self._socket.recv(CHUNK_BYTES)
            except TimeoutError as exc:
                raise NoAnswer("neod does not answer; systemctl status neod says how it is") from exc
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise NoDaemon("neod hung up: it stopped, or this reader was too slow; journalctl -u neod says why")
            self._buffer.add(chunk)
        return reply


def _error(name: str, parameters: dict[str, Any]) -> errors.ControlError:
    known = {cls.__name__: cls for cls in errors.ERRORS}
    cls = known.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    try:
        if cls is not None:
            return decode(cls, parameters)
    except TypeError:
        pass  # its fields are those of another version
    other = "neod is of another version than this command (neodctl status --json shows it): systemctl restart neod"
    unknown = str(parameters.get("parameter", "")) if name == UNSOUND else ""
    return Foreign(f"neod refused the call: {name} {json.dumps(parameters)}; {other}", unknown)
