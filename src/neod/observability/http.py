"""As much of HTTP as a page of metrics needs: one request a connection, then close. Pure."""

from collections.abc import Callable
from typing import Final

from neod.observability.exposition import CONTENT_TYPE

REQUEST_BYTES: Final = 8192
PATIENCE_S: Final = 10.0
"""For one exchange, from the connection to the last byte taken."""

MOST: Final = 16
"""Readers at the same time."""


class TooLong(Exception):
    """More came than any request for a page has."""


def answer(heard: bytes, page: Callable[[], str]) -> bytes:
    """Return the response to what was heard so far; empty: the request is not complete.

    Raises:
        TooLong: it is not going to be.
    """
    if b"\r\n\r\n" not in heard and b"\n\n" not in heard:
        if len(heard) > REQUEST_BYTES:
            raise TooLong
        return b""
    verb, _, rest = heard.partition(b" ")
    path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
    if verb not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", "only GET\n")
    if path != b"/metrics":
        return _response("404 Not Found", "see /metrics\n")
    whole = _response("200 OK", page())
    return whole if verb == b"GET" else whole[: whole.index(b"\r\n\r\n") + 4]


def _response(status: str, body: str) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
