"""As much of HTTP as a page of metrics needs: one request a connection, then close. Pure."""

from collections.abc import Callable
from typing import Final

from neod.observability.exposition import CONTENT_TYPE

REQUEST_BYTES: Final = 8192


class RequestTooLong(Exception):
    """More was received than any request for a page has."""


def response(request: bytes, page: Callable[[], str]) -> bytes:
    """Return the response to what was received so far; empty: the request is not complete.

    Raises:
        RequestTooLong: it is not going to be.
    """
    if b"\r\n\r\n" not in request and b"\n\n" not in request:
        if len(request) > REQUEST_BYTES:
            raise RequestTooLong
        return b""
    method, _, rest = request.partition(b" ")
    path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", "only GET\n")
    if path != b"/metrics":
        return _response("404 Not Found", "see /metrics\n")
    found = _response("200 OK", page())
    return found if method == b"GET" else found[: found.index(b"\r\n\r\n") + 4]


def _response(status: str, body: str) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
