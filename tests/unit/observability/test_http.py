"""One request for a page of metrics, one answer."""

import pytest

from neod.observability.http import REQUEST_BYTES, RequestTooLong, response


def page() -> str:
    return "ä 1\n"


@pytest.mark.parametrize("received", [b"", b"GET /metrics", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
def test_an_unfinished_request_is_waited_for(received):
    assert response(received, page) == b""


@pytest.mark.parametrize(
    ("first", "status", "body"),
    [
        (b"GET /metrics HTTP/1.1", b"200 OK", "ä 1\n"),
        (b"GET /metrics?a=b HTTP/1.0", b"200 OK", "ä 1\n"),
        (b"HEAD /metrics HTTP/1.1", b"200 OK", ""),
        (b"GET / HTTP/1.1", b"404 Not Found", "see /metrics\n"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed", "only GET\n"),
        (b"\x16\x03\x01", b"405 Method Not Allowed", "only GET\n"),
    ],
)
def test_a_request_has_its_answer(first, status, body):
    head, _, got = response(first + b"\r\nHost: x\r\n\r\n", page).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert got.decode() == body


def test_an_answer_says_how_many_bytes_follow():
    head, _, body = response(b"GET /metrics HTTP/1.1\r\n\r\n", page).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert len(body) == 5


def test_a_request_without_an_end_is_given_up():
    with pytest.raises(RequestTooLong):
        response(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * REQUEST_BYTES, page)
