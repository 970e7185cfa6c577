"""Messages and errors from bytes, whoever sent them."""

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg
from tests.doubles.scripted_socket import CAPPED, DONE, ERROR, TLVS, ack, done, explained, message

from neod.netlink.message import NetlinkError, error_of, messages
from neod.netlink.message import message as packed

BODIES = st.lists(st.tuples(st.integers(16, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), st.binary()))


@given(BODIES)
def test_what_is_packed_is_read_back_one_by_one(bodies):
    data = b"".join(packed(*body) for body in bodies)
    assert [(t, f, s, bytes(p)) for t, f, s, port, p in messages(data) if port == 0] == bodies


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange_and_no_payload_reaches_beyond_the_datagram(data):
    found = list(messages(data))
    assert sum(16 + len(payload) for *_, payload in found) <= len(data)
    for type_, flags, _, _, payload in found:
        error_of(type_, flags, payload)


@given(BODIES.filter(bool), st.data())
def test_of_a_truncated_datagram_only_whole_messages_are_read(bodies, data):
    whole = b"".join(packed(*body) for body in bodies)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = [(t, f, s, bytes(p)) for t, f, s, _, p in messages(whole[:cut])]
    assert found == bodies[: len(found)]
    assert len(found) < len(bodies) or cut > len(whole) - 4  # only padding is missing


@pytest.mark.parametrize("length", [0, 1, 15, 53, 2**31, 2**32 - 1])
def test_a_length_that_does_not_fit_ends_the_reading(length):
    wrong = struct.pack("=IHHII", length, 16, 0, 1, 0)
    assert [number for _, _, number, _, _ in messages(ack(7) + wrong + ack(8))] == [7]


def test_a_message_of_the_other_byte_order_is_not_read():
    other = struct.pack(">IHHII" if struct.pack("=H", 1)[0] else "<IHHII", 20, 16, 0, 1, 0) + bytes(4)
    assert not list(messages(other))


@given(st.integers(16, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), st.binary(max_size=50))
def test_pyroute2_reads_the_header_that_we_pack(type_, flags, number, payload):
    other = nlmsg(packed(type_, flags, number, payload))
    other.decode()
    header = other["header"]
    expected = (16 + len(payload), type_, flags, number)
    assert (header["length"], header["type"], header["flags"], header["sequence_number"]) == expected


def read(data):
    ((type_, flags, _, _, payload),) = messages(data)
    return error_of(type_, flags, payload)


@pytest.mark.parametrize("data", [ack(1), done(1)], ids=["acknowledgement", "end of a dump"])
def test_zero_is_no_error(data):
    assert read(data) is None


@pytest.mark.parametrize("make", [ack, done], ids=["error", "end of a dump"])
@pytest.mark.parametrize("text", ["", "Unknown device type"])
def test_an_error_has_its_code_and_the_words_of_the_kernel_or_those_of_the_code(make, text):
    error = read(make(1, code=errno.EOPNOTSUPP, text=text))
    assert (error.code, error.text) == (errno.EOPNOTSUPP, text or os.strerror(errno.EOPNOTSUPP))


@pytest.mark.parametrize("repeated", [20, 21, 24, 999])
def test_an_error_that_repeats_the_request_is_explained_behind_it_if_it_is_whole(repeated):
    request = struct.pack("=IHHII", repeated, 16, 0, 1, 0) + bytes(8)
    request = request[: (repeated + 3) & ~3] if repeated <= 24 else request
    body = struct.pack("=i", -errno.EINVAL) + request + explained("here")
    error = read(message(ERROR, 1, body, TLVS))
    assert (error.code, error.text) == (errno.EINVAL, "here" if repeated <= 24 else os.strerror(errno.EINVAL))


@pytest.mark.parametrize("kind", [ERROR, DONE])
@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0", struct.pack("=i", 1)])
def test_an_error_without_a_code_or_with_an_impossible_one_is_never_taken_for_success(kind, body):
    error = error_of(kind, CAPPED, memoryview(body))
    assert error is not None
    assert error.code == errno.EBADMSG


def test_the_error_is_an_os_error_and_a_value():
    error = NetlinkError(errno.EEXIST)
    assert isinstance(error, OSError)
    assert (error.errno, error.text) == (errno.EEXIST, os.strerror(errno.EEXIST))
